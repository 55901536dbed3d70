//! What can be broken, and how.

mod broker;
mod network;
mod server;
mod worker;

use anyhow::Result;
use clap::ValueEnum;

use crate::crew::Crew;
use crate::target::{Backend, Target};

/// A thing that goes wrong, and is well again afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// The broker dies by `kill -9`, and is started again
    BrokerKill,
    /// One node of a cluster dies by `kill -9`, is started again, and then the next
    NodeKill,
    /// The master dies by `kill -9`; a sentinel makes the replica the master, and the dead one comes back as its replica
    Failover,
    /// All connections are reset
    Cut,
    /// All connections are cut somewhere within a frame or reply, in either direction
    CutHalf,
    /// Connections stay open, but nothing passes for a while
    Freeze,
    /// What passes takes 50 ms longer, and at most 64 KiB a second pass, for a while
    Slow,
    /// A worker dies by `kill -9` with messages in its hands
    WorkerKill,
    /// A worker gets SIGTERM while messages come in
    WorkerStop,
    /// The operator closes all connections
    CloseConnections,
    /// The broker runs out of memory for a while
    MemoryAlarm,
    /// The operator deletes the queue; workers make it again
    QueueDelete,
    /// The operator deletes the dead-letter queue, and makes it again after a while
    DeadDelete,
    /// The dead-letter queue is full and refuses what is parked, for a while
    DeadFull,
    /// The server answers nobody for a while (`CLIENT PAUSE`)
    ClientPause,
    /// The server forgets its scripts (`SCRIPT FLUSH`)
    ScriptFlush,
}

impl Fault {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it can happen to this backend.
    pub(crate) fn fits(self, backend: Backend) -> bool {
        match self {
            Self::BrokerKill => backend.is_single(),
            Self::NodeKill => backend == Backend::AmqpCluster,
            Self::Failover => backend == Backend::RedisSentinel,
            Self::Cut | Self::CutHalf | Self::Freeze | Self::Slow => backend.has_proxy(),
            Self::WorkerKill | Self::WorkerStop | Self::MemoryAlarm | Self::QueueDelete => true,
            Self::CloseConnections | Self::DeadDelete | Self::DeadFull => backend.is_amqp(),
            Self::ClientPause | Self::ScriptFlush => !backend.is_amqp(),
        }
    }

    /// Whether messages are gone with it, by the operator's will.
    pub(crate) fn deletes(self) -> bool {
        matches!(self, Self::QueueDelete | Self::DeadDelete)
    }

    /// Makes it happen, and returns when it is over.
    ///
    /// # Errors
    /// If it cannot be made to happen; what it does to others is seen in the ledgers.
    pub(crate) async fn strike(self, stage: &mut Stage<'_>) -> Result<()> {
        match self {
            Self::BrokerKill => broker::kill(stage).await,
            Self::NodeKill => broker::kill_next_node(stage).await,
            Self::Failover => broker::fail_over(stage).await,
            Self::Cut => network::cut(stage).await,
            Self::CutHalf => network::cut_half(stage).await,
            Self::Freeze => network::freeze(stage).await,
            Self::Slow => network::slow(stage).await,
            Self::WorkerKill => worker::kill(stage).await,
            Self::WorkerStop => worker::stop(stage).await,
            Self::CloseConnections => server::close_connections(stage),
            Self::MemoryAlarm => server::run_out_of_memory(stage).await,
            Self::QueueDelete => server::delete_queue(stage).await,
            Self::DeadDelete => server::delete_dead_letters(stage).await,
            Self::DeadFull => server::fill_dead_letters(stage),
            Self::ClientPause => server::pause(stage).await,
            Self::ScriptFlush => server::flush_scripts(stage).await,
        }
    }
}

/// What a fault has to do with.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) target: &'a Target,
    pub(crate) queue: &'a str,
    pub(crate) crew: &'a mut Crew,
    pub(crate) rng: &'a mut fastrand::Rng,
    /// Faults so far.
    pub(crate) struck: usize,
    /// When the queue was deleted, each time.
    pub(crate) deleted: Vec<u64>,
}
