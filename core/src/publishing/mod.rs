//! What wraps a publisher, and publishers for tests.
//!
//! A [`PublisherLayer`] is to publishers what a [layer](crate::layer) is to handlers: [`Trace`](crate::layer::Trace) and
#![cfg_attr(feature = "metrics", doc = "[`Metrics`](crate::layer::Metrics)")]
#![cfg_attr(not(feature = "metrics"), doc = "`Metrics`")]
//! are layers of both sides, [`Defaults`] is one of publishers alone. [`BlackholePublisher`] takes everything and sends
//! nothing; [`RecordingPublisher`] remembers what was published.
//!
//! ```
//! use std::time::Duration;
//! use swarrot_core::layer::Trace;
//! use swarrot_core::publishing::{Defaults, LayerPublisher as _, RecordingPublisher};
//! use swarrot_core::{Message, MessagePublisherExt as _, Outgoing};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> swarrot_core::Result<()> {
//! let recording = RecordingPublisher::new("");
//! let publisher = recording
//!     .clone()
//!     .layer(Defaults::new().app_id("shop").ttl(Duration::from_secs(3600)).timestamp())
//!     .layer(Trace::new());
//! publisher.publish_one(Outgoing::new("mails", Message::new("hello"))).await?;
//!
//! let published = recording.published();
//! assert_eq!(published[0].message.properties.app_id.as_deref(), Some("shop"));
//! # Ok(())
//! # }
//! ```

mod blackhole;
mod defaults;
mod recording;

use std::sync::Arc;

pub use self::blackhole::BlackholePublisher;
pub use self::defaults::Defaults;
pub use self::recording::RecordingPublisher;
use crate::contract::MessagePublisher;

/// What makes a publisher around a publisher.
///
/// What it makes forwards every call; [`MessagePublisher`] has no default bodies, so that none can be forgotten. A layer that
/// changes messages copies the batch: bodies are shared, headers and properties are not once they differ.
pub trait PublisherLayer {
    /// Makes a publisher around this one.
    fn wrap(&self, inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher>;
}

/// Wraps publishers in layers.
pub trait LayerPublisher {
    /// Wraps it in a layer. The layer added last is the outermost: it sees a message first.
    fn layer(self, layer: impl PublisherLayer) -> Arc<dyn MessagePublisher>;
}

impl LayerPublisher for Arc<dyn MessagePublisher> {
    fn layer(self, layer: impl PublisherLayer) -> Arc<dyn MessagePublisher> {
        layer.wrap(self)
    }
}

impl<P: MessagePublisher + 'static> LayerPublisher for P {
    fn layer(self, layer: impl PublisherLayer) -> Arc<dyn MessagePublisher> {
        layer.wrap(Arc::new(self))
    }
}
