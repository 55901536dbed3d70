//! A failover that a sentinel makes, and a cluster whose queues move.

mod support;

use std::cell::Cell;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use support::{
    body, connect, declare, max, ms, nothing, one, plain, provider, publisher, run, secs, send, settle, take, words,
};
use swarrot_conformance::brokers::{Redis, RedisCluster, RedisSentinel, Start};
use swarrot_core::topology::{Exchange, Queue, Topology};
use swarrot_core::{
    Broker as _, ErrorKind, Message, MessagePublisher, MessagePublisherExt as _, Outcome, Outgoing, PublisherOptions,
};
use swarrot_redis::RedisBroker;

/// Publishes again and again until the broker has it: what a caller does whose message matters.
async fn insist(publisher: &dyn MessagePublisher, queue: &str, body: &str) {
    let outgoing = Outgoing::new(queue, Message::new(body.to_owned()).id(body));
    let deadline = Instant::now() + secs(60);
    while let Err(error) = publisher.publish_one(outgoing.clone()).await {
        assert!(error.is_temporary() && Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(ms(50)).await;
    }
}

#[tokio::test]
async fn a_failover_is_followed() {
    // A write is confirmed only while the replica follows; what it has not got yet can be lost all the same.
    let group = RedisSentinel::start(&Start::new().config("appendfsync always")).expect("a sentinel");
    let broker = connect(&group.url()).await;
    declare(&broker, Queue::new("q")).await;
    let provider = provider(&broker, "q", 10).await;
    let publisher = publisher(&broker).await;
    for i in 0..100 {
        insist(&*publisher, "q", &format!("before-{i}")).await;
    }
    let held = take(&*provider, 5).await;
    let [master, replica] = group.servers();
    // What was confirmed has to be on the replica, or the failover may lose it, as Redis does. A wait is for what its own connection
    // has written, and all that was written before.
    let mut plain = plain(master).await;
    words("SET written yes").exec_async(&mut plain).await.expect("writes");
    let have_it: i64 = words("WAIT 1 20000").query_async(&mut plain).await.expect("an answer");
    assert_eq!(have_it, 1);
    master.kill().expect("kills");
    let start = Instant::now();
    insist(&*publisher, "q", "after").await;
    println!("the first publish after the death of the master took {:?}", start.elapsed());
    let role: Vec<Value> = run(replica, &words("ROLE")).await;
    assert_eq!(role[0], Value::BulkString(b"master".to_vec()));
    // What was held is held, on the new master.
    for delivery in &held {
        settle(&*provider, delivery, Outcome::Ack).await.expect("acks");
    }
    let mut bodies: Vec<String> = held.iter().map(body).collect();
    while bodies.len() < 101 {
        for delivery in take(&*provider, 1).await {
            settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
            bodies.push(body(&delivery));
        }
    }
    nothing(&*provider).await;
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 101, "each once");
    broker.close().await.expect("closes");
}

/// Stops a server in the middle of whatever it does, or lets it go on.
fn signal(server: &Redis, name: &str) {
    let pid = server.pid().expect("it runs").to_string();
    assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
}

#[tokio::test]
async fn nothing_is_confirmed_before_a_replica_has_it() {
    let master = Redis::start(&Start::new()).expect("a server");
    let replica = Redis::start(&Start::new().config(format!("replicaof 127.0.0.1 {}", master.port())));
    let replica = replica.expect("a replica");
    let broker = connect(&format!("{}?replicas=1", master.url())).await;
    declare(&broker, Queue::new("q")).await;
    let patient = publisher(&broker).await;
    let hurried = PublisherOptions::default().timeout(secs(1));
    let hurried = broker.publisher("", hurried).await.expect("a publisher");
    let numbered = |n: u32| Outgoing::new("q", Message::new(n.to_string()).id(n.to_string()));
    // It may still be copying what the master had.
    patient.publish_one(numbered(0)).await.expect("it is there");

    signal(&replica, "-STOP");
    let start = Instant::now();
    let error = hurried.publish_one(numbered(1)).await.expect_err("nobody else has it");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:?}");
    // On a busy machine the time may be up before the server has said how many have it.
    let text = error.to_string();
    assert!(text.contains("fewer than 1 replicas") || text.contains("no answer came"), "{text}");
    assert!(start.elapsed() > ms(600), "{:?}", start.elapsed());

    // Several at once wait together, and end together.
    let batches = (2..10).map(|n| {
        let patient = Arc::clone(&patient);
        tokio::spawn(async move { patient.publish_one(numbered(n)).await })
    });
    let batches: Vec<_> = batches.collect();
    tokio::time::sleep(ms(700)).await;
    assert!(batches.iter().all(|batch| !batch.is_finished()), "confirmed, although nobody else has it");
    signal(&replica, "-CONT");
    for batch in batches {
        batch.await.expect("no panic").expect("it is there");
    }
    let entries: usize = run(&replica, &words("XLEN swarrot:{q}:stream")).await;
    assert_eq!(entries, 10, "with the one that was not confirmed");
}

#[tokio::test]
async fn what_was_confirmed_outlives_a_failover() {
    // The master answers before its replica has anything, unless it is told to wait.
    let group = RedisSentinel::start(&Start::new()).expect("a sentinel");
    let broker = connect(&format!("{}&replicas=1", group.url())).await;
    declare(&broker, Queue::new("q")).await;
    let publisher = publisher(&broker).await;
    let [master, replica] = group.servers();
    let mut confirmed = 0;
    insist(&*publisher, "q", "first").await;
    let end = Instant::now() + secs(1);
    while Instant::now() < end {
        insist(&*publisher, "q", &format!("m{confirmed}")).await;
        confirmed += 1;
    }
    // It dies before it could pass on anything else.
    master.kill().expect("kills");
    let entries: usize = run(replica, &words("XLEN swarrot:{q}:stream")).await;
    assert_eq!(entries, 1 + confirmed);
}

#[tokio::test]
async fn an_unknown_master_is_named() {
    let group = RedisSentinel::start(&Start::new()).expect("a sentinel");
    let url = format!("redis+sentinel://{}/0?master=other", group.addr()).parse().expect("a URL");
    let error = RedisBroker::connect(&url).await.expect_err("no such master");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("other"), "{error}");
}

#[tokio::test]
async fn a_demoted_master_is_left() {
    let servers = [Redis::start(&Start::new()).expect("a server"), Redis::start(&Start::new()).expect("a server")];
    // Of several hosts the one that is a master.
    let url = format!("redis://{},{}/0", servers[0].addr(), servers[1].addr());
    let broker = connect(&url).await;
    declare(&broker, Queue::new("q")).await;
    send(&broker, "q", "before").await.expect("publishes");
    let provider = provider(&broker, "q", 10).await;
    assert_eq!(body(&one(&*provider).await), "before");
    run::<()>(&servers[0], &words(&format!("REPLICAOF 127.0.0.1 {}", servers[1].port()))).await;
    // The other one knows nothing of the queue: it is declared there, and gets the message.
    let publisher = publisher(&broker).await;
    let deadline = Instant::now() + secs(20);
    let after = Outgoing::new("q", Message::new("after"));
    while let Err(error) = publisher.publish_one(after.clone()).await {
        assert!(error.is_temporary() || error.kind() == ErrorKind::Unroutable, "{error:?}");
        assert!(Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(ms(50)).await;
    }
    assert_eq!(body(&one(&*provider).await), "after");
}

#[tokio::test]
async fn queues_move_within_a_cluster() {
    let cluster = RedisCluster::start(&Start::new().config("appendfsync always")).expect("a cluster");
    let broker = connect(&cluster.url()).await;
    let names: Vec<String> = (0..6).map(|i| format!("q{i}")).collect();
    let mut topology = Topology::new().exchange(Exchange::fanout("all"));
    for name in &names {
        topology = topology.queue(Queue::new(name)).bind("all", name, "");
    }
    broker.declare(&topology).await.expect("declares");
    let all = broker.publisher("all", PublisherOptions::default()).await.expect("a publisher");
    let mut providers = Vec::new();
    for name in &names {
        providers.push(provider(&broker, name, 5).await);
    }
    // While the slot of one of the queues moves to another node, with all that is in it.
    let moved = Cell::new(false);
    let moving = async {
        move_slots(&cluster, "q0").await;
        moved.set(true);
    };
    let publishing = async {
        let mut sent = 0;
        while !moved.get() || sent < 50 {
            all.publish_one(Outgoing::new("", Message::new(sent.to_string()))).await.expect("publishes");
            sent += 1;
        }
        sent
    };
    let ((), sent) = tokio::join!(moving, publishing);
    println!("{sent} messages were published meanwhile");
    for (name, provider) in names.iter().zip(&providers) {
        let mut bodies: Vec<usize> = Vec::new();
        while bodies.len() < sent {
            for delivery in take(&**provider, 1).await {
                settle_until(&**provider, &delivery).await;
                bodies.push(body(&delivery).parse().expect("a number"));
            }
        }
        bodies.sort_unstable();
        bodies.dedup();
        assert_eq!(bodies.len(), sent, "{name}");
        // A dead letter is on the same node.
        send(&broker, name, "hopeless").await.expect("publishes");
        let delivery = one(&**provider).await;
        settle(&**provider, &delivery, Outcome::reject("no")).await.expect("parks");
        assert_eq!(broker.stats(name).await.expect("stats").parked, Some(1));
    }
    broker.close().await.expect("closes");
}

async fn settle_until(provider: &dyn swarrot_core::MessageProvider, delivery: &swarrot_core::Delivery) {
    let deadline = Instant::now() + secs(20);
    while let Err(error) = settle(provider, delivery, Outcome::Ack).await {
        assert!(error.failures().iter().all(|(_, e)| e.is_temporary()) && Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(ms(20)).await;
    }
}

/// Moves the slot of a queue to the next node, key by key, as an operator's tool does.
async fn move_slots(cluster: &RedisCluster, queue: &str) {
    let nodes = cluster.nodes();
    let slot: u16 = run(&nodes[0], &words(&format!("CLUSTER KEYSLOT {{{queue}}}"))).await;
    let mut ids: Vec<String> = Vec::new();
    for node in nodes {
        ids.push(run(node, &words("CLUSTER MYID")).await);
    }
    let from = usize::from(slot / (16_384 / 3)).min(2);
    let to = (from + 1) % 3;
    run::<()>(&nodes[to], &words(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[from]))).await;
    run::<()>(&nodes[from], &words(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[to]))).await;
    loop {
        let keys: Vec<String> = run(&nodes[from], &words(&format!("CLUSTER GETKEYSINSLOT {slot} 1"))).await;
        let Some(key) = keys.first() else { break };
        let migrate = format!("MIGRATE 127.0.0.1 {} {key} 0 5000", nodes[to].port());
        let _: Value = run(&nodes[from], &words(&migrate)).await;
        tokio::time::sleep(ms(100)).await;
    }
    for node in [to, from] {
        run::<()>(&nodes[node], &words(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[to]))).await;
    }
    run::<()>(&nodes[3 - from - to], &words(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[to]))).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_node_that_dies_stops_only_its_queues() {
    let cluster = RedisCluster::start(&Start::new().config("appendfsync always")).expect("a cluster");
    let broker = connect(&cluster.url()).await;
    // One queue on each node.
    let mut on_node: [Option<String>; 3] = Default::default();
    for i in 0.. {
        let name = format!("q{i}");
        let slot: u16 = run(&cluster.nodes()[0], &words(&format!("CLUSTER KEYSLOT {{{name}}}"))).await;
        on_node[usize::from(slot / (16_384 / 3)).min(2)].get_or_insert(name);
        if on_node.iter().all(Option::is_some) {
            break;
        }
    }
    let names = on_node.map(|name| name.expect("found"));
    for name in &names {
        declare(&broker, Queue::new(name)).await;
        send(&broker, name, "before").await.expect("publishes");
    }
    let [a, b, c] = [
        provider(&broker, &names[0], 5).await,
        provider(&broker, &names[1], 5).await,
        provider(&broker, &names[2], 5).await,
    ];
    for provider in [&a, &b, &c] {
        let delivery = one(&**provider).await;
        settle(&**provider, &delivery, Outcome::Ack).await.expect("acks");
    }
    cluster.nodes()[1].kill().expect("kills");
    for (name, provider) in [(&names[0], &a), (&names[2], &c)] {
        for i in 0..20 {
            insist(&*publisher(&broker).await, name, &format!("{i}")).await;
            let delivery = one(&**provider).await;
            settle_until(&**provider, &delivery).await;
        }
    }
    let mut failed = false;
    for _ in 0..50 {
        failed = failed || b.receive(max(1), ms(200)).await.is_err();
    }
    assert!(failed, "a provider whose node is dead says so");
    cluster.nodes()[1].restart().expect("restarts");
    insist(&*publisher(&broker).await, &names[1], "after").await;
    assert_eq!(body(&one(&*b).await), "after");
}

#[tokio::test]
async fn a_user_with_few_rights_can_work_in_a_cluster() {
    let cluster = RedisCluster::start(&Start::new()).expect("a cluster");
    let rights = "ACL SETUSER worker on >pw ~swarrot:* -@all +@stream +@hash +@sortedset +@set +@connection +@scripting +get \
                  +incr +set +exists +pexpire +pttl +unlink +time +info +role +cluster|slots +cluster|keyslot";
    for node in cluster.nodes() {
        run::<()>(node, &words(rights)).await;
    }
    let broker = connect(&cluster.url().replace("://", "://worker:pw@")).await;
    for name in ["q1", "q2", "q3", "q4"] {
        declare(&broker, Queue::new(name)).await;
        send(&broker, name, "hello").await.expect("publishes");
        let provider = provider(&broker, name, 1).await;
        let delivery = one(&*provider).await;
        settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
        provider.close().await.expect("closes");
        broker.delete(name).await.expect("deletes");
    }
}
