//! Connections, and how they are mended.
//!
//! A broker has two that its providers and publishers share, one to settle and one to publish, so that large bodies never
//! stand in the way of settlements; each provider has one of its own to wait on.

mod link;
mod open;
mod replicas;
mod server;

pub(crate) use self::link::{Conn, Link};
pub(crate) use self::open::{open_for_key, unblock};
pub(crate) use self::replicas::Replicas;
pub(crate) use self::server::Server;
