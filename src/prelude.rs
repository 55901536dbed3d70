//! What most programs need, for `use swarrot::prelude::*`.

#[cfg(feature = "json")]
pub use swarrot_core::Json;
pub use swarrot_core::gate::{KillSwitch, RateLimit};
pub use swarrot_core::layer::{Deduplicate, Retry, Timeout};
pub use swarrot_core::topology::{Exchange, Queue, Topology};
pub use swarrot_core::{
    Attempt, Batch, BoxError, Broker, Delivery, ErrorKind, Extension, Header, IntoHandler, Message, MessageProvider,
    MessagePublisher, MessagePublisherExt, Outcome, Outgoing, Permanent, PriorityProvider, ProviderOptions,
    PublisherOptions, Reason, RetryAfter, Router, Settlement, State, Supervisor, Worker, WorkerHandle, reply,
};
