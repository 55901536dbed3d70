//! What a file may say.

mod brokers;
mod publishers;
mod topology;
mod workers;

pub(super) use self::brokers::Address;
pub(super) use self::publishers::PublisherTable;
pub(super) use self::topology::{Declare, TopologyTable};
pub(super) use self::workers::{LimitKeys, Queues, WorkerEntry, WorkerKeys};
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
        /// Workers, by name.
        workers: Named<WorkerEntry> = {},
    }
}
