//! What a backend implements: where deliveries come from, where messages go, and the broker that makes both.
//!
//! None of the traits has default bodies: a wrapper that forgot to forward a call would lose messages silently.

mod broker;
mod capabilities;
mod options;
mod provider;
mod publisher;

pub use self::broker::{Broker, QueueStats, ServerInfo};
pub use self::capabilities::{Capabilities, RequeuePosition};
pub use self::options::{DeadLetter, ProviderOptions, PublisherOptions};
pub use self::provider::{ConnectionState, MessageProvider};
pub use self::publisher::{MessagePublisher, MessagePublisherExt, Outgoing};
