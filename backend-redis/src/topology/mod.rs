//! Exchanges, queues and bindings, kept in Redis, so that every process routes alike.

mod compare;
mod declare;
mod keys;
mod routes;
mod spec;

pub(crate) use self::compare::compare;
pub(crate) use self::declare::{Scope, declare, declare_again, delete};
pub(crate) use self::keys::{QueueKeys, declarations, publisher_record, queue_of, tag};
pub(crate) use self::routes::{Router, Routes};
