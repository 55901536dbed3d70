//! What a server may do to its clients.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use swarrot_core::topology::Topology;
use swarrot_core::{Error, ErrorKind, Message, MessageProvider, Outcome, Outgoing, ProviderOptions, PublisherOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::run::{
    Case, Claim::Durable, Context, Fault::Block, Fault::CloseAllConnections, Fault::Restart, Need::Claimed, Need::Made,
    Setup, case,
};
use crate::support::{
    PATIENCE, ProviderActions as _, PublisherActions as _, acked_or_stale, bodies, drained, insist, ms, reconnected,
    secs, text,
};

const GROUP: &str = "faults";

pub(super) const CASES: &[Case] = &[
    case!(server_cancels_provider).limit(120),
    case!(queue_deleted_under_provider).limit(120),
    case!(channel_error_isolated),
    case!(blocked_broker).needs(&[Made(Block)]).faulty().limit(120),
    case!(restart_at_third_and_half).needs(&[Claimed(Durable), Made(Restart)]).faulty().dup().limit(300),
    // Beyond the list: an operator closes all connections in good order.
    case!(server_closes_connections).needs(&[Made(CloseAllConnections)]).faulty().dup().limit(120),
];

/// What a provider does within a while after its queue was taken away: a delivery, or an error that says so.
async fn delivery_or_error(provider: &dyn MessageProvider) -> Result<String, Error> {
    let deadline = Instant::now() + secs(30);
    loop {
        assert!(
            Instant::now() < deadline,
            "neither a message nor an error in 30 s: the provider is deaf and says nothing"
        );
        match provider.up_to(1, ms(500)).await {
            Ok(some) => {
                if let Some(delivery) = some.first() {
                    provider.ack(delivery).await;
                    return Ok(text(delivery));
                }
            }
            // It may try again for a while.
            Err(error) if error.is_temporary() => sleep(ms(50)).await,
            Err(error) => return Err(error),
        }
    }
}

async fn server_cancels_provider(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue_to_declare("q");
    let name = queue.name.clone();
    let topology = Topology::new().queue(queue);
    cx.declare(&*broker, &topology).await;
    let provider = cx.provider(&*broker, &name).await;
    provider.nothing().await;
    // The server tells the provider that it is cancelled, and an equal queue is there again at once.
    let other = cx.connect().await;
    other.delete(&name).await.expect("deletes");
    other.declare(&topology).await.expect("declares again");
    let publisher = cx.publisher(&*other, "").await;
    publisher.send_body(&name, "to the new queue").await;
    match delivery_or_error(&*provider).await {
        Ok(body) => assert_eq!(body, "to the new queue"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
    }
}

async fn queue_deleted_under_provider(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let bystander = cx.queue(&*broker, "bystander").await;
    let beside = cx.provider(&*broker, &bystander).await;
    publisher.send_bodies(&queue, bodies("m", 3)).await;
    let held = provider.take(2).await;
    cx.connect().await.delete(&queue).await.expect("deletes");
    let outcome = async {
        // Either the backend declares the queue again, or the provider says that it is gone.
        let again = Outgoing::new(&queue, Message::new("again"));
        let mut sent = false;
        let deadline = Instant::now() + secs(30);
        loop {
            assert!(Instant::now() < deadline, "the queue is gone for 30 s, and the provider says nothing");
            sent = sent || publisher.try_send(again.clone()).await.is_ok();
            match provider.up_to(1, ms(500)).await {
                Ok(some) if some.is_empty() => {}
                // It had been fetched before: it may still be handed out, but not settled.
                Ok(some) if text(&some[0]) == "m-2" => {}
                Ok(some) => break assert_eq!(text(&some[0]), "again", "what was in a deleted queue is gone"),
                Err(error) if error.is_temporary() => sleep(ms(50)).await,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
            }
        }
    };
    outcome.await;
    // What was held cannot be settled any more, or nobody minds; it neither hangs nor breaks anything.
    let settled = timeout(secs(30), provider.try_settle(&held[0], Outcome::Ack)).await.expect("does not hang");
    if let Err(error) = settled {
        let kinds: Vec<_> = error.failures().iter().map(|(_, e)| e.kind()).collect();
        assert!(matches!(kinds[..], [ErrorKind::Stale | ErrorKind::NotFound]), "{error:?}");
    }
    // Others on the same connection are not affected.
    publisher.send_body(&bystander, "untouched").await;
    assert_eq!(text(&beside.one_acked().await), "untouched");
    timeout(secs(30), provider.close()).await.expect("does not hang").expect("closes");
}

async fn channel_error_isolated(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 5)).await;
    let held = provider.take(5).await;
    let missing = cx.name("missing");
    // Each of these is an error that a server may answer by closing the channel.
    for _ in 0..3 {
        broker.provider(&missing, ProviderOptions::default()).await.expect_err("no such queue");
        broker.publisher(&missing, PublisherOptions::default()).await.expect_err("no such exchange");
        broker.stats(&missing).await.expect_err("no such queue");
        let other = cx.queue_to_declare("q").message_ttl(secs(60)).max_length(7);
        let conflict = broker.declare(&Topology::new().queue(other)).await.expect_err("declared otherwise");
        let expected = [ErrorKind::Conflict, ErrorKind::Unsupported];
        assert!(expected.contains(&conflict.kind()), "{conflict:?}");
        let unroutable = publisher.try_send(Outgoing::new(&missing, Message::new("lost"))).await;
        assert_eq!(unroutable.is_err(), cx.capabilities().unroutable, "{unroutable:?}");
        // Meanwhile others work: what is held is held, nothing came back, and more goes through.
        publisher.send_body(&queue, "meanwhile").await;
        let delivery = provider.one_acked().await;
        assert_eq!((text(&delivery).as_str(), delivery.redelivered()), ("meanwhile", false));
    }
    provider.ack_all(&held).await;
    provider.close().await.expect("closes");
    cx.provider(&*broker, &queue).await.nothing().await;
}

async fn blocked_broker(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("before", 3)).await;
    let limit = secs(3);
    let hasty = broker.publisher("", PublisherOptions::default().timeout(limit)).await.expect("a publisher");
    hasty.send_body(&queue, "before-3").await;
    cx.faulty().block().await.expect("blocks");
    // A broker may take what was sent before the sender could know. It may not take much, nor keep us waiting.
    let mut refused = None;
    for i in 0..20 {
        let start = Instant::now();
        let result =
            timeout(limit * 3 + PATIENCE, hasty.try_send(Outgoing::new(&queue, Message::new(format!("x-{i}"))))).await;
        if let Err(error) = result.expect("a publish ends by its time limit") {
            assert!(
                start.elapsed() <= limit + cx.slack(secs(2)),
                "with a limit of {limit:?} it took {:?}",
                start.elapsed()
            );
            refused = Some(error);
            break;
        }
        sleep(ms(100)).await;
    }
    let error = refused.expect("a blocked broker took 20 messages");
    let kinds = [ErrorKind::Blocked, ErrorKind::Timeout, ErrorKind::Unknown];
    assert!(kinds.contains(&error.kind()), "{error:?}");
    // Workers go on: what is there is received and acked.
    let some = timeout(PATIENCE, provider.take_acked(4)).await.expect("receives while publishes are blocked");
    assert!(some.iter().all(|delivery| text(delivery).starts_with("before")));
    // Who waits long enough gets through when the alarm is over.
    let patient = tokio::spawn({
        let (publisher, queue) = (Arc::clone(&publisher), queue.clone());
        async move { publisher.try_send(Outgoing::new(&queue, Message::new("patient"))).await }
    });
    sleep(secs(1)).await;
    cx.faulty().unblock().await.expect("unblocks");
    timeout(PATIENCE * 2, patient).await.expect("ends").expect("no panic").expect("waited out the alarm");
    let deadline = Instant::now() + PATIENCE;
    while text(&provider.one_acked().await) != "patient" {
        assert!(Instant::now() < deadline, "the message that waited out the alarm did not come");
    }
}

async fn restart_at_third_and_half(cx: &Context) {
    const PUBLISHERS: usize = 100;
    const EACH: usize = 100;
    let Setup { broker, queue, provider, .. } = cx.setup().await;
    let (ledger, progress) = (cx.ledger(), watch::Sender::new(0));
    // A few connections, each with many publishers.
    let mut brokers = vec![Arc::clone(&broker)];
    brokers.push(cx.connect().await);
    let mut tasks = Vec::new();
    for task in 0..PUBLISHERS {
        let publisher = cx.publisher(&*brokers[task % brokers.len()], "").await;
        let (ledger, progress, queue) = (ledger.clone(), progress.clone(), queue.clone());
        tasks.push(tokio::spawn(async move {
            for body in bodies(&format!("p{task}"), EACH) {
                let outgoing = Outgoing::new(&queue, Message::new(body.clone()).id(body.clone()));
                insist(&*publisher, &outgoing).await;
                ledger.note_sent(body);
                progress.send_modify(|count| *count += 1);
            }
        }));
    }
    let receiving = {
        let (provider, ledger) = (Arc::clone(&provider), ledger.clone());
        tokio::spawn(async move {
            while ledger.counts().confirmed < PUBLISHERS * EACH {
                drain_some(&*provider, &ledger).await;
            }
        })
    };
    let mut reached = progress.subscribe();
    for mark in [PUBLISHERS * EACH / 3, PUBLISHERS * EACH / 2] {
        let waited = timeout(PATIENCE * 5, reached.wait_for(|count| *count >= mark)).await;
        assert!(waited.is_ok_and(|reached| reached.is_ok()), "waited for {mark} messages: {}", ledger.counts());
        cx.faulty().kill().await.expect("kills");
        cx.faulty().restart().await.expect("restarts");
    }
    for task in timeout(secs(180), join_all(tasks)).await.expect("all get through in time") {
        task.expect("only temporary errors");
    }
    timeout(PATIENCE, receiving).await.expect("ends").expect("only temporary errors");
    drained(&*provider, &ledger).await;
    assert_eq!(ledger.check().confirmed, PUBLISHERS * EACH);
}

/// Receives once, and acks.
async fn drain_some(provider: &dyn MessageProvider, ledger: &crate::support::Ledger) {
    match provider.up_to(100, ms(500)).await {
        Ok(some) => {
            // A confirmation may be noted later than the message is received: `insist` notes it when it is back.
            ledger.received_all(&some);
            for delivery in &some {
                if let Err(error) = provider.try_settle(delivery, Outcome::Ack).await {
                    let kinds = error.failures().iter().all(|(_, e)| e.is_temporary() || e.kind() == ErrorKind::Stale);
                    assert!(kinds, "{error:?}");
                }
            }
        }
        Err(error) => {
            assert!(error.is_temporary(), "a restart is no reason to give up: {error:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn server_closes_connections(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("before", 20)).await;
    let held = provider.take(5).await;
    cx.faulty().close_all_connections().await.expect("the server closes them");
    insist(&*publisher, &Outgoing::new(&queue, Message::new("after").id("after"))).await;
    ledger.note_sent("after");
    let first = held[0].clone();
    let (acked, stale) = acked_or_stale(&*provider, held).await;
    ledger.received_all(&acked);
    let again = reconnected(&*provider, 16 + stale.len()).await;
    ledger.received_all(&again);
    provider.ack_all(&again).await;
    let stale = provider.try_settle(&first, Outcome::Ack).await.expect_err("a receipt is good once");
    assert!(stale.is_all(ErrorKind::Stale), "{stale:?}");
    provider.nothing().await;
    ledger.check();
}
