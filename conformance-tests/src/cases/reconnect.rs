//! Connections that break under providers, publishers and workers.

use std::sync::Arc;

use futures_util::future::join_all;
use swarrot_core::topology::{Exchange, Topology};
use swarrot_core::{ConnectionState, Delivery, ErrorKind, Message, MessagePublisher, Outgoing, Worker};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::faults::FaultyBroker;
use crate::run::{Case, Context, Fault::Cut, Fault::Freeze, Fault::Restart, Need::Made, Setup, case};
use crate::support::{
    Ledger, PATIENCE, ProviderActions as _, PublisherActions as _, Running, bodies, drained, insist, ms, reconnected,
    secs, text,
};

const GROUP: &str = "reconnect";

pub(super) const CASES: &[Case] = &[
    case!(idle_cut_resumes).needs(&[Made(Cut)]).faulty().limit(90),
    case!(cut_while_publishing).needs(&[Made(Cut)]).faulty().dup().limit(180),
    case!(cut_while_handling).needs(&[Made(Cut)]).faulty().dup().limit(180),
    case!(freeze_30s).needs(&[Made(Freeze)]).faulty().limit(180),
    case!(topology_redeclared).needs(&[Made(Restart)]).faulty().limit(180),
];

async fn idle_cut_resumes(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    provider.nothing().await;
    let waiting = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move {
            let delivery = reconnected(&*provider, 1).await.remove(0);
            provider.ack(&delivery).await;
            (text(&delivery), Instant::now())
        }
    });
    cx.faulty().cut().await.expect("cuts");
    sleep(secs(1)).await;
    cx.faulty().heal().await.expect("heals");
    let healed = Instant::now();
    insist(&*publisher, &Outgoing::new(&queue, Message::new("after the cut").id("one"))).await;
    let (body, received) = waiting.await.expect("receives again");
    assert_eq!(body, "after the cut");
    let took = received.saturating_duration_since(healed);
    assert!(took <= cx.slack(secs(10)), "it took {took:?} to receive again");
    assert_eq!(provider.connection(), ConnectionState::Connected);
}

/// Cuts all connections each time so many messages more have been counted.
async fn cut_at(faulty: &dyn FaultyBroker, progress: &watch::Sender<usize>, marks: &[usize]) {
    let mut progress = progress.subscribe();
    for mark in marks {
        let reached = timeout(PATIENCE * 3, progress.wait_for(|count| count >= mark)).await;
        assert!(reached.is_ok_and(|reached| reached.is_ok()), "waited for {mark} messages; there are fewer");
        faulty.cut().await.expect("cuts");
        sleep(ms(200)).await;
        faulty.heal().await.expect("heals");
    }
}

async fn cut_while_publishing(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let (ledger, progress) = (cx.ledger(), watch::Sender::new(0));
    let publishing: Vec<_> = (0..20)
        .map(|task| {
            let (ledger, progress, publisher, queue) =
                (ledger.clone(), progress.clone(), Arc::clone(&publisher), queue.clone());
            tokio::spawn(publish_one_by_one(ledger, progress, publisher, queue, task))
        })
        .collect();
    cut_at(cx.faulty(), &progress, &[200, 500, 800]).await;
    for task in timeout(PATIENCE * 4, join_all(publishing)).await.expect("no publish hangs") {
        task.expect("only temporary errors");
    }
    drained(&*provider, &ledger).await;
    let counts = ledger.check();
    // Each publish waits out a cut that is shorter than its timeout.
    assert!(counts.confirmed >= 900, "the cuts were short, and yet: {counts}");
}

async fn publish_one_by_one(
    ledger: Ledger,
    progress: watch::Sender<usize>,
    publisher: Arc<dyn MessagePublisher>,
    queue: String,
    task: usize,
) {
    for body in bodies(&format!("task-{task}"), 50) {
        for result in ledger.try_publish(&*publisher, &queue, [body]).await {
            if let Err(error) = result {
                assert!(error.is_temporary(), "a broken connection is a temporary error: {error:?}");
            }
        }
        progress.send_modify(|count| *count += 1);
        tokio::task::yield_now().await;
    }
}

async fn cut_while_handling(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let (ledger, progress) = (cx.ledger(), watch::Sender::new(0));
    ledger.publish(&*publisher, &queue, bodies("m", 600)).await;
    let worker = Worker::new(provider).concurrency(10).signals_off();
    let running = {
        let (ledger, progress) = (ledger.clone(), progress.clone());
        Running::start(
            worker.handle(),
            worker.run(move |delivery: Delivery| {
                let (ledger, progress) = (ledger.clone(), progress.clone());
                async move {
                    sleep(ms(10)).await;
                    ledger.received(&delivery);
                    progress.send_modify(|count| *count += 1);
                }
            }),
        )
    };
    cut_at(cx.faulty(), &progress, &[100, 250, 400]).await;
    let deadline = Instant::now() + PATIENCE * 3;
    while ledger.outstanding() > 0 {
        assert!(Instant::now() < deadline, "a worker that was cut off thrice: {}", ledger.counts());
        sleep(ms(50)).await;
    }
    // What came twice was unsettled when a connection broke; it is acked now, and nothing is left.
    let mut ready = 1;
    while ready > 0 && Instant::now() < deadline {
        sleep(ms(200)).await;
        ready = broker.stats(&queue).await.map_or(1, |stats| stats.ready + stats.unsettled.unwrap_or(0));
    }
    let report = running.stop().await;
    let left = cx.provider(&*broker, &queue).await;
    left.nothing().await;
    let counts = ledger.check();
    let at_most = 3 * 20 + 3;
    assert!(
        counts.duplicated <= at_most,
        "three cuts with 20 fetched at most made more duplicates: {counts}; {report}"
    );
}

async fn freeze_30s(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_body(&queue, "before").await;
    reconnected(&*provider, 1).await;
    cx.faulty().freeze().await.expect("freezes");
    let frozen = Instant::now();
    // A dead network says nothing: only a heartbeat or a time limit can notice.
    let mut noticed = None;
    while frozen.elapsed() < secs(30) {
        let failed = timeout(secs(30), provider.up_to(1, secs(1))).await;
        let failed = failed.expect("a receive with a wait of 1 s does not hang for 30").is_err();
        if failed || provider.connection() != ConnectionState::Connected {
            noticed.get_or_insert(frozen.elapsed());
        }
        sleep(ms(100)).await;
    }
    assert!(noticed.is_some(), "30 s of silence went unnoticed");
    cx.faulty().heal().await.expect("heals");
    insist(&*publisher, &Outgoing::new(&queue, Message::new("after").id("two"))).await;
    loop {
        let delivery = reconnected(&*provider, 1).await.remove(0);
        if text(&delivery) == "after" {
            break;
        }
        assert_eq!(text(&delivery), "before", "what was unsettled comes again");
    }
}

async fn topology_redeclared(cx: &Context) {
    let broker = cx.connect().await;
    let (queue, exchange) = (cx.queue_to_declare("q"), cx.name("x"));
    let name = queue.name.clone();
    let topology = Topology::new().exchange(Exchange::topic(&exchange)).queue(queue).bind(&exchange, &name, "key.*");
    cx.declare(&*broker, &topology).await;
    let publisher = cx.publisher(&*broker, &exchange).await;
    publisher.send_body("key.one", "before").await;
    // Deleted behind the back of the one who declared it.
    let other = cx.connect().await;
    other.delete(&name).await.expect("deletes");
    other.close().await.expect("closes");
    cx.faulty().kill().await.expect("kills");
    cx.faulty().restart().await.expect("restarts");
    // It is declared again on the new connection, with its binding.
    let outgoing = Outgoing::new("key.two", Message::new("after").id("two"));
    let deadline = Instant::now() + PATIENCE * 2;
    while let Err(error) = publisher.try_send(outgoing.clone()).await {
        let transient = error.is_temporary() || error.kind() == ErrorKind::Unroutable;
        assert!(transient && Instant::now() < deadline, "queue and binding are not declared again: {error:?}");
        sleep(ms(200)).await;
    }
    let provider = cx.provider(&*broker, &name).await;
    assert_eq!(text(&reconnected(&*provider, 1).await[0]), "after");
}
