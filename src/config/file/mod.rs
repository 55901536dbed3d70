//! What a file may say.

mod brokers;
mod publishers;
mod supervisor;
mod topology;
mod workers;

pub(super) use self::brokers::Address;
pub(super) use self::publishers::PublisherTable;
pub(super) use self::supervisor::SupervisorTable;
pub(super) use self::topology::{Declare, TopologyTable};
pub(super) use self::workers::{LimitKeys, Queues, WorkerEntry, WorkerKeys};
use super::gates::GateEntry;
use super::read::{Named, options};

options! {
    /// The file as a whole.
    pub(super) struct File {
        /// Brokers: names and their URLs, as `swarrot::connect` takes them. A `%`, `/`, `@` or `:` in a password is percent-encoded.
        brokers: Named<Address> = {},
        /// What is declared on each broker, by the broker's name.
        topology: Named<TopologyTable> = {},
        /// Where messages go, by message type.
        publishers: Named<PublisherTable> = {},
        /// What holds workers back before they fetch, by name. Workers that name the same one share it.
        gates: Named<GateEntry> = {},
        /// How several workers are run together, by `Config::supervisor`.
        supervisor: SupervisorTable = {},
        /// Workers, by name.
        workers: Named<WorkerEntry> = {},
    }
}
