//! Queues that dead-letter what failed to a waiting queue, from which it comes back, as others use them: PHP Swarrot's
//! `XDeath` processors among them.

mod support;

use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use support::{Bench, lapin_url, secs};
use swarrot_core::layer::{MaxAge, MaxDeliveries};
use swarrot_core::topology::Queue;
use swarrot_core::{DeadLetter, Delivery, Message, Outcome, Report, Worker};
use tokio::time::{Instant, sleep, timeout};

/// How long a message waits.
const WAIT: i32 = 1500;

async fn channel() -> (Connection, Channel) {
    let connection = Connection::connect(&lapin_url(), ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

/// A queue that dead-letters to a waiting queue.
async fn bench(test: &str, classic: bool) -> Bench {
    let bench = Bench::with(test, |queue: Queue| {
        let waiting = format!("{}.waiting", queue.name);
        let queue = if classic { queue.classic() } else { queue };
        let queue = queue.dead_letter(DeadLetter::Drop);
        queue.argument("x-dead-letter-exchange", "").argument("x-dead-letter-routing-key", waiting)
    })
    .await;
    let (connection, channel) = channel().await;
    let mut back = FieldTable::default();
    back.insert("x-message-ttl".into(), AMQPValue::LongInt(WAIT));
    back.insert("x-expires".into(), AMQPValue::LongInt(60_000));
    back.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    back.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(bench.queue.as_str().into()));
    let name = format!("{}.waiting", bench.queue);
    channel
        .queue_declare(name.into(), QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }, back)
        .await
        .expect("declared");
    connection.close(200, "".into()).await.expect("closed");
    bench
}

/// Fails as PHP Swarrot's `AckProcessor` does: a nack without requeue.
async fn fail_elsewhere(bench: &Bench) {
    let (connection, channel) = channel().await;
    let deadline = Instant::now() + secs(20);
    loop {
        let options = BasicGetOptions::default();
        if let Some(message) = channel.basic_get(bench.queue.as_str().into(), options).await.expect("an answer") {
            message.nack(BasicNackOptions { requeue: false, ..BasicNackOptions::default() }).await.expect("sent");
            break;
        }
        assert!(Instant::now() < deadline, "no message came");
        sleep(Duration::from_millis(50)).await;
    }
    connection.close(200, "".into()).await.expect("closed");
}

async fn work<F>(bench: &Bench, run: impl FnOnce(Worker) -> F) -> Report
where
    F: Future<Output = Result<Report, swarrot_core::WorkerError>>,
{
    let worker = Worker::new(bench.provider(1).await).signals_off().max_messages(1);
    timeout(secs(30), run(worker)).await.expect("a message comes").expect("the worker ends well")
}

#[tokio::test]
async fn what_comes_back_from_waiting_is_counted_and_has_an_age() {
    for classic in [false, true] {
        let bench = bench("waiting", classic).await;
        bench.publish(Message::new("x")).await;
        for _ in 0..2 {
            fail_elsewhere(&bench).await;
        }
        // A limit that is not reached leaves things as they are.
        let below = MaxDeliveries::new(4).decide(|_, _| Ok(Outcome::Ack));
        let report = work(&bench, |worker| worker.layer(below).run(async || Outcome::Requeue)).await;
        assert_eq!(report.counts.requeued, 1, "{report}");

        let check = |delivery: Delivery| async move {
            // Nacked twice; and given back once, which a classic queue does not count. The worker may have fetched it once
            // more before it stopped, which older servers count.
            let counted = if delivery.delivery_count().is_some() { 4..=5 } else { 3..=3 };
            assert!(counted.contains(&delivery.total_deliveries()), "{delivery:?}");
            // Since it was nacked for the first time, two waits ago.
            let age = delivery.age().expect("an age");
            assert!((secs(2)..secs(60)).contains(&age), "{age:?}");
            Err::<(), _>("down")
        };
        let age = MaxAge::new(secs(2)).decide(|_, exceeded| {
            assert!(exceeded.reason.as_str().ends_with("old, the limit is 2s: down"), "{}", exceeded.reason);
            Ok(Outcome::Requeue)
        });
        let report = work(&bench, |worker| worker.layer(age).run(check)).await;
        assert_eq!((report.counts.requeued, report.counts.panics), (1, 0), "{report}");

        let deliveries = MaxDeliveries::new(3).decide(|_, _| Ok(Outcome::Ack));
        let report = work(&bench, |worker| worker.layer(deliveries).run(async || Err::<(), _>("down"))).await;
        assert_eq!((report.counts.acked, report.counts.rejected), (1, 0), "{report}");
        bench.end().await;
    }
}
