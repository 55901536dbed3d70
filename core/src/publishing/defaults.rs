//! Properties that every message of an application has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::PublisherLayer;
use crate::clock::unix_time;
use crate::contract::{Capabilities, MessagePublisher, Outgoing};
use crate::error::Result;
use crate::message::Message;

/// Sets properties that a message does not have: its id, its expiry, its content type, who published it and when.
///
/// It sets nothing that was not asked for, and changes nothing that is there. Copies that swarrot makes itself, such as
/// [`Outgoing::redrive`], stay as they are. A default that the broker cannot do is an error of each publish, as if the message
/// had asked for it: [`Unsupported`](crate::ErrorKind::Unsupported) for an expiry without
/// [`Capabilities::ttl`].
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::publishing::Defaults;
///
/// let defaults = Defaults::new().content_type("application/json").app_id("shop").timestamp().ids();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    ttl: Option<Duration>,
    content_type: Option<String>,
    app_id: Option<String>,
    timestamp: bool,
    ids: Option<fn() -> String>,
}

impl Defaults {
    /// No defaults at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a message may wait in a queue before it expires.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The MIME type of the body.
    pub fn content_type(mut self, mime: impl Into<String>) -> Self {
        self.content_type = Some(mime.into());
        self
    }

    /// The application that publishes.
    pub fn app_id(mut self, name: impl Into<String>) -> Self {
        self.app_id = Some(name.into());
        self
    }

    /// The time of the publish, in whole seconds of the system's clock.
    pub fn timestamp(mut self) -> Self {
        self.timestamp = true;
        self
    }

    /// A UUID v7 as the id. A backend sets one too, but later: layers further in see this one.
    pub fn ids(self) -> Self {
        self.ids_by(|| uuid::Uuid::now_v7().to_string())
    }

    /// An id that this function makes.
    pub fn ids_by(mut self, make: fn() -> String) -> Self {
        self.ids = Some(make);
        self
    }

    fn apply(&self, message: &mut Message, now: Option<u64>) {
        let properties = &mut message.properties;
        properties.ttl = properties.ttl.or(self.ttl);
        properties.timestamp = properties.timestamp.or(now);
        let set = |property: &mut Option<String>, default: &Option<String>| {
            if property.is_none() {
                property.clone_from(default);
            }
        };
        set(&mut properties.content_type, &self.content_type);
        set(&mut properties.app_id, &self.app_id);
        if let Some(make) = self.ids {
            properties.message_id.get_or_insert_with(make);
        }
    }
}

impl PublisherLayer for Defaults {
    fn wrap(&self, inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher> {
        Arc::new(WithDefaults { inner, defaults: self.clone() })
    }
}

#[derive(Debug)]
struct WithDefaults {
    inner: Arc<dyn MessagePublisher>,
    defaults: Defaults,
}

#[async_trait]
impl MessagePublisher for WithDefaults {
    fn exchange(&self) -> &str {
        self.inner.exchange()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let now = self.defaults.timestamp.then(unix_time);
        let mut batch = batch.to_vec();
        for outgoing in batch.iter_mut().filter(|outgoing| !outgoing.is_trusted()) {
            self.defaults.apply(&mut outgoing.message, now);
        }
        self.inner.publish(&batch).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_what_is_missing_and_nothing_else() {
        let defaults = Defaults::new()
            .ttl(Duration::from_secs(60))
            .content_type("text/plain")
            .app_id("shop")
            .ids_by(|| "made".to_owned());
        let mut bare = Message::new("");
        defaults.apply(&mut bare, Some(7));
        let mut expected = Message::new("").ttl(Duration::from_secs(60)).content_type("text/plain").id("made");
        expected.properties.app_id = Some("shop".to_owned());
        expected.properties.timestamp = Some(7);
        assert_eq!(bare, expected);

        let mut full = Message::new("").ttl(Duration::from_secs(1)).content_type("image/png").id("own");
        full.properties.app_id = Some("other".to_owned());
        full.properties.timestamp = Some(1);
        let before = full.clone();
        defaults.apply(&mut full, Some(7));
        assert_eq!(full, before);

        let mut untouched = Message::new("");
        Defaults::new().apply(&mut untouched, None);
        assert_eq!(untouched, Message::new(""));
    }
}
