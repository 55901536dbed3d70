//! Layers around publishers, and publishers for tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::layer::{Metrics, Trace};
use swarrot::prelude::*;
use swarrot::publishing::{BlackholePublisher, Defaults, LayerPublisher as _, PublisherLayer, RecordingPublisher};
use swarrot::{Capabilities, Error, async_trait};

use crate::support::{Bench, QUEUE, SECOND};

fn out(body: &'static str) -> Outgoing {
    Outgoing::new(QUEUE, Message::new(body))
}

fn bodies(published: &[Outgoing]) -> Vec<&[u8]> {
    published.iter().map(|outgoing| outgoing.message.body.as_ref()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_layer_added_last_sees_a_message_first() {
    let bench = Bench::new().await;
    let [inner, outer] = ["inner", "outer"].map(|name| Defaults::new().app_id(name));
    let publisher = Arc::clone(&bench.publisher).layer(inner).layer(outer);
    publisher.publish_one(out("")).await.unwrap();
    assert_eq!(bench.take(QUEUE).await.message().properties.app_id.as_deref(), Some("outer"));
}

#[tokio::test(start_paused = true)]
async fn every_layer_forwards_every_call() {
    #[derive(Debug, Default)]
    struct Noting(Mutex<Vec<&'static str>>);
    impl Noting {
        fn note(&self, call: &'static str) {
            self.0.lock().unwrap().push(call);
        }
    }
    #[async_trait]
    impl MessagePublisher for Noting {
        fn exchange(&self) -> &'static str {
            "events"
        }
        fn capabilities(&self) -> Capabilities {
            let mut capabilities = Capabilities::NONE;
            capabilities.system = "noting";
            capabilities
        }
        async fn publish(&self, batch: &[Outgoing]) -> Vec<swarrot::Result<()>> {
            self.note("publish");
            batch.iter().map(|_| Err(Error::new(ErrorKind::Rejected, "full"))).collect()
        }
        async fn close(&self) -> swarrot::Result<()> {
            self.note("close");
            Err(Error::new(ErrorKind::Timeout, "no answer"))
        }
    }
    struct Recording;
    impl PublisherLayer for Recording {
        fn wrap(&self, inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher> {
            Arc::new(RecordingPublisher::around(inner))
        }
    }
    let layers: [&dyn PublisherLayer; 4] = [&Defaults::new(), &Trace::new(), &Metrics::new(), &Recording];
    for layer in layers {
        let noting = Arc::new(Noting::default());
        let publisher = layer.wrap(Arc::clone(&noting) as Arc<dyn MessagePublisher>);
        assert_eq!((publisher.exchange(), publisher.capabilities().system), ("events", "noting"));
        let results = publisher.publish(&[out("1"), out("2")]).await;
        assert_eq!(results.len(), 2);
        assert!(results.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Rejected));
        assert_eq!(publisher.close().await.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(*noting.0.lock().unwrap(), ["publish", "close"], "{publisher:?}");
        assert!(publisher.publish(&[]).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn defaults_fill_what_is_missing_on_the_way_to_the_broker() {
    let bench = Bench::new().await;
    let defaults = Defaults::new().ttl(60 * SECOND).content_type("text/plain").app_id("shop").timestamp().ids();
    let publisher = Arc::clone(&bench.publisher).layer(defaults);
    publisher
        .publish(&[out("bare"), Outgoing::new(QUEUE, Message::new("full").content_type("image/png").id("own"))])
        .await;
    let (bare, full) = (bench.take(QUEUE).await, bench.take(QUEUE).await);
    let properties = &bare.message().properties;
    assert_eq!((properties.content_type.as_deref(), properties.ttl), (Some("text/plain"), Some(60 * SECOND)));
    assert!(properties.timestamp.is_some_and(|at| at > 1_700_000_000));
    assert_eq!(bare.id().len(), 36, "a UUID");
    let properties = &full.message().properties;
    assert_eq!((properties.content_type.as_deref(), properties.app_id.as_deref()), (Some("image/png"), Some("shop")));
    assert_eq!(full.id(), "own");
}

#[tokio::test(start_paused = true)]
async fn copies_that_swarrot_made_stay_as_they_are() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async || Outcome::reject("no");
    bench.worker().await.max_messages(1).run(handler).await.unwrap();
    let parked = bench.take("work.dead").await;
    let publisher = Arc::clone(&bench.publisher).layer(Defaults::new().ttl(SECOND).app_id("shop"));
    publisher.publish_one(Outgoing::redrive(&parked).unwrap()).await.unwrap();
    let properties = bench.take(QUEUE).await.message().properties.clone();
    assert_eq!((properties.ttl, properties.app_id), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_takes_everything_until_it_is_closed() {
    let hole = BlackholePublisher::new("events");
    assert_eq!(hole.exchange(), "events");
    let batch = [out("1"), out("2").delay(Duration::MAX), Outgoing::new("", Message::new(vec![0; 17 << 20]))];
    assert!(hole.publish(&batch).await.iter().all(Result::is_ok));
    hole.close().await.unwrap();
    hole.close().await.unwrap();
    let results = hole.publish(&batch).await;
    assert!(
        results.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Closed) && results.len() == 3
    );
}

#[tokio::test(start_paused = true)]
async fn a_recording_alone_is_as_strict_as_a_broker() {
    let publisher = RecordingPublisher::new("events");
    let reserved = Outgoing::new("k", Message::new("").header("x-death", 1_i64));
    let huge = Outgoing::new("k", Message::new(vec![0; 17 << 20]));
    let kinds: Vec<_> = publisher.publish(&[reserved, huge, out("fine")]).await;
    let kinds: Vec<_> = kinds.into_iter().map(|result| result.err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [Some(ErrorKind::InvalidInput), Some(ErrorKind::TooLarge), None]);
    let published = publisher.take();
    assert_eq!(bodies(&published), [b"fine"]);
    assert!(published[0].message.properties.message_id.is_some(), "as a backend would");
    assert!(publisher.published().is_empty(), "taken");
    publisher.close().await.unwrap();
    assert_eq!(publisher.publish_one(out("late")).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_recording_in_front_of_a_broker_remembers_what_that_one_took() {
    let bench = Bench::new().await;
    let publisher = RecordingPublisher::around(Arc::clone(&bench.publisher));
    publisher.fail_next(Error::new(ErrorKind::Blocked, "told to"));
    let batch = [out("refused"), out("sent"), Outgoing::new("nowhere", Message::new("unroutable"))];
    let kinds = publisher.publish(&batch).await.into_iter().map(|result| result.err().map(|error| error.kind()));
    assert_eq!(kinds.collect::<Vec<_>>(), [Some(ErrorKind::Blocked), None, Some(ErrorKind::Unroutable)]);
    let published = publisher.published();
    assert_eq!(bodies(&published), [b"sent"]);
    let arrived = bench.take(QUEUE).await;
    assert_eq!(Some(arrived.id()), published[0].message.properties.message_id.as_deref());

    bench.faults().block();
    assert!(tokio::time::timeout(SECOND, publisher.publish_one(out("cancelled"))).await.is_err());
    assert_eq!(publisher.published().len(), 1, "nobody knows of it");
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_waited_for() {
    let publisher = RecordingPublisher::new("");
    let elsewhere = publisher.clone();
    let running = tokio::spawn(async move {
        for body in ["1", "2"] {
            tokio::time::sleep(SECOND).await;
            elsewhere.publish_one(out(body)).await.unwrap();
        }
    });
    publisher.wait_for(2).await;
    assert_eq!(bodies(&publisher.published()), [b"1", b"2"]);
    running.await.unwrap();
}
