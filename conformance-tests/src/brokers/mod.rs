//! Private brokers, started from the installed programs: loopback only, free ports, a folder of their own.
//!
//! [`RabbitMq::start`] and [`Redis::start`] start one and wait until it answers; the handle ends it when it is dropped.
//! `attach` makes a handle on a broker that another process started, so that a test program can kill and restart a
//! broker that was started before it.
//!
//! # What ends a broker
//! Each program runs in a process group of its own, so that Ctrl-C in a terminal does not reach it, and writes its
//! process id, with the time that it started at, to a file in the broker's folder. Dropping the handle kills what these
//! files name. Should the process that holds the handle die without that, even by `kill -9`, a watcher does it: a small
//! shell that waits for a pipe, whose other end only that process holds, to close. After
//! [`RabbitMq::detach`] there is no watcher any more, and the broker runs until [`RabbitMq::stop`].
//!
//! All calls block the thread: use `spawn_blocking` in async code.

mod error;
mod start;

mod rabbitmq;
mod rabbitmq_cluster;
mod rabbitmq_node;
mod redis;
mod redis_client;
mod redis_cluster;
mod redis_sentinel;

mod daemon;
mod home;
mod ports;
mod process;
mod programs;
mod ready;
mod state;

pub use self::error::BrokerError;
pub use self::rabbitmq::RabbitMq;
pub use self::rabbitmq_cluster::RabbitMqCluster;
pub use self::redis::Redis;
pub use self::redis_cluster::RedisCluster;
pub use self::redis_sentinel::RedisSentinel;
pub use self::start::Start;

pub(crate) use self::ports::Port;

/// Whether the programs of RabbitMQ, its Erlang included, are installed.
///
/// # Errors
/// Says which program is missing, and what installs it.
pub fn find_rabbitmq() -> Result<(), BrokerError> {
    programs::RabbitMqPrograms::find().map(drop)
}

/// Whether the program of Redis is installed.
///
/// # Errors
/// Says what installs it.
pub fn find_redis() -> Result<(), BrokerError> {
    programs::redis_server().map(drop)
}
