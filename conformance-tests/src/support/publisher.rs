//! Short words for what cases do with a publisher.

use std::panic::Location;

use bytes::Bytes;
use swarrot_core::{Message, MessagePublisher, Outgoing, Result};

/// Short words for what cases do with a publisher. Each panics with the caller's place if the broker refuses.
pub(crate) trait PublisherActions: MessagePublisher {
    /// Publishes one message.
    #[track_caller]
    fn send(&self, outgoing: Outgoing) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let batch = [outgoing];
        async move {
            let results = self.publish(&batch).await;
            assert_eq!(results.len(), 1, "{at}: one result for one message");
            for result in results {
                result.unwrap_or_else(|e| panic!("{at}: not published: {e:?}"));
            }
        }
    }

    /// Publishes a body.
    #[track_caller]
    fn send_body(&self, routing_key: &str, body: impl Into<Bytes>) -> impl Future<Output = ()> + Send {
        self.send(Outgoing::new(routing_key, Message::new(body)))
    }

    /// Publishes bodies, in one batch.
    #[track_caller]
    fn send_bodies<B: Into<Bytes>>(
        &self,
        routing_key: &str,
        bodies: impl IntoIterator<Item = B>,
    ) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let batch: Vec<_> = bodies.into_iter().map(|body| Outgoing::new(routing_key, Message::new(body))).collect();
        async move {
            let results = self.publish(&batch).await;
            assert_eq!(results.len(), batch.len(), "{at}: one result for each message");
            for result in results {
                result.unwrap_or_else(|e| panic!("{at}: not published: {e:?}"));
            }
        }
    }

    /// Publishes one message, which may fail.
    #[track_caller]
    fn try_send(&self, outgoing: Outgoing) -> impl Future<Output = Result<()>> + Send {
        let at = Location::caller();
        async move {
            let mut results = self.publish(&[outgoing]).await;
            assert_eq!(results.len(), 1, "{at}: one result for one message");
            results.remove(0)
        }
    }
}

impl<P: MessagePublisher + ?Sized> PublisherActions for P {}
