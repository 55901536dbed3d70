//! The contract, the worker and the layers of [swarrot](https://docs.rs/swarrot). It names no broker.
//!
//! Users depend on the facade `swarrot`; whoever writes a backend or a layer depends on this crate alone.
//!
//! In reading order:
//! 1. data: [`Message`], [`Delivery`], [`Receipt`], [`Outcome`], [`Settlement`], [`Error`];
//! 2. the contract of a backend: [`MessageProvider`], [`MessagePublisher`], [`Broker`], [`Capabilities`], [`topology`];
//! 3. the user's side: [`Handler`] and [`FromDelivery`], [`Router`], [`Batch`], [`layer`], [`gate`], [`Worker`], [`Supervisor`], [`publishing`].

pub mod message;

mod delivery;
mod error;
mod extensions;
mod marks;
mod outcome;
mod receipt;
mod settlement;

mod contract;
mod priority;
mod provider_fn;
mod sweep;
pub mod topology;

mod batch;
mod handler;
pub mod layer;
mod request;
mod router;
#[cfg(feature = "tower")]
pub mod tower;

pub mod gate;
pub mod publishing;
mod supervisor;
mod worker;

mod backoff;
mod clock;
mod secret;
mod url;

pub use self::backoff::Backoff;
pub use self::batch::{Batch, BatchFailed, BatchFunction, BatchHandler, BatchShape, IntoOutcomes};
pub use self::clock::unix_time;
pub use self::contract::{
    Broker, Capabilities, ConnectionState, DeadLetter, MessageProvider, MessagePublisher, MessagePublisherExt,
    Outgoing, ProviderOptions, PublisherOptions, QueueStats, RequeuePosition, ServerInfo,
};
pub use self::delivery::Delivery;
pub use self::error::{BoxError, Error, ErrorKind, Result};
#[cfg(feature = "json")]
pub use self::handler::Json;
pub use self::handler::{
    Attempt, Context, Extension, FnHandler, FromContext, FromDelivery, FromHeader, Function, Handler, HandlerError,
    HandlerShape, Header, HeaderName, IntoHandler, IntoOutcome, Layered, OptionalFromDelivery, State, check_handler,
};
pub use self::marks::{Permanent, RetryAfter};
pub use self::message::{Headers, Limits, Message, Properties, Value};
pub use self::outcome::{Outcome, Reason};
pub use self::priority::PriorityProvider;
pub use self::provider_fn::{FnProvider, provider_fn};
pub use self::receipt::Receipt;
pub use self::request::{
    IntoReply, ReplyErrors, ReplyErrorsHandler, ReplyHandler, Replying, RequestError, Requester, RequesterOptions,
    reply,
};
pub use self::router::{Router, Routes};
pub use self::secret::Secret;
pub use self::settlement::{SettleError, Settlement};
pub use self::supervisor::{
    SupervisedHealth, SupervisedReport, SupervisedState, Supervisor, SupervisorError, SupervisorHandle,
    SupervisorHealth, SupervisorReport,
};
pub use self::sweep::Sweep;
pub use self::url::BrokerUrl;
pub use self::worker::{
    Counts, Health, HealthInFlight, ReadyWorker, Report, StopReason, Worker, WorkerError, WorkerHandle,
};

pub use async_trait::async_trait;
