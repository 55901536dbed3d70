//! Redis Streams as a backend of [swarrot](https://docs.rs/swarrot), through [redis-rs](https://docs.rs/redis).
//!
//! [`RedisBroker::connect`] takes a URL such as `redis://user:password@host/0?lease=30s`; see there for all of its parts. In
//! reading order: [`RedisBroker`]; the connections and how they are mended; providers; publishers; topology; the scripts that
//! do the work within the server; the translation of messages and errors.
//!
//! # What to know
//! - A queue is a stream with one group. What is settled is deleted, so that the stream holds only what is to be done. A
//!   message that is held back waits in a sorted set until it is due.
//! - A delivery belongs to its provider for the length of a lease, which a worker renews while a handler runs. What a worker
//!   left behind that died is delivered again when its lease ends, with its count of deliveries.
//! - A settlement is fenced: it counts only while the delivery is still this provider's. A retry or a dead letter is one
//!   script: the copy is there and the original gone, or neither.
//! - A broken connection does not end a delivery: handlers go on, and settle over the next connection, as long as the lease
//!   lasts.
//! - All keys of a queue and of its dead-letter queue have the hash tag `{queue}`, so that a cluster keeps them together. One
//!   queue does not spread over nodes; several queues do. A message for several queues is one whole on one server, and one
//!   whole on each node in a cluster.
//! - Redis keeps what its append-only file has. With `appendfsync everysec`, its default, a power failure can take the last
//!   second or two, and while the disk is busy so can the death of the server: set `appendfsync always` where that matters, and
//!   `maxmemory-policy noeviction` always. A failover to a replica can take what the replica did not have yet, whatever
//!   `min-replicas-to-write` says. With `?replicas=1` in the URL nothing is confirmed before one replica has it, so that a
//!   failover to that one loses nothing; with several replicas name as many as there are.
//! - A user of Redis needs these rights, with `worker` and `secret` as you like:
//!   `ACL SETUSER worker on >secret ~swarrot:* -@all +@stream +@hash +@sortedset +@set +@connection +@scripting +get +incr +set
//!   +exists +pexpire +pttl +unlink +time +info +role`; in a cluster `+cluster|slots +cluster|keyslot` as well, and to list queues `+scan`,
//!   with `?replicas=1` `+wait`.
//! - Other programs publish with a plain `XADD swarrot:{queue}:stream * body …`.

mod broker;
mod config;
mod connection;
mod provider;
mod publisher;

mod dedup;

mod inspect;
mod scripts;
mod topology;

mod convert;
mod error;

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;

pub use self::broker::RedisBroker;
pub use self::dedup::RedisDedupStore;
