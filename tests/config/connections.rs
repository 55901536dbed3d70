//! Brokers: connected once, declared once, closed.

use std::sync::Arc;

use swarrot::config::{Config, Loader};
use swarrot::topology::{Binding, Exchange, ExchangeKind, Queue, QueueKind, Topology};
use swarrot::{DeadLetter, ErrorKind, Value};

fn parse(text: &str) -> Config {
    Config::parse(text).unwrap()
}

#[tokio::test]
async fn a_broker_is_connected_once_and_shared() {
    let config = parse("brokers = { main = \"memory://\", other = \"memory://\" }");
    let (one, two) = tokio::join!(config.connect("main"), config.connect("main"));
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
    let again = config.clone().connect("main").await.unwrap();
    assert!(!Arc::ptr_eq(&again, &config.connect("other").await.unwrap()));
    assert_eq!(config.brokers().collect::<Vec<_>>(), ["main", "other"]);

    config.close().await.unwrap();
    assert_eq!(again.ping().await.expect_err("closed").kind(), ErrorKind::Closed);
    config.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_connection_is_tried_again() {
    // There is another profile under this name at first.
    let url = |url: &str| url.parse().unwrap();
    let other = swarrot::memory::MemoryBroker::connect(&url("memory://config-again?profile=streams")).unwrap();
    let config = parse("brokers.main = \"memory://config-again?profile=amqp\"");
    assert_eq!(config.connect("main").await.expect_err("another profile").kind(), ErrorKind::Conflict);
    drop(other);
    config.connect("main").await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_an_error_with_the_nearest() {
    let config = parse(
        "brokers.main = \"memory://\"\nworkers = { mails = { queue = \"mails\" }, thumbs = { queue = \"thumbs\" } }",
    );
    assert_eq!(config.workers().collect::<Vec<_>>(), ["mails", "thumbs"]);
    let error = config.worker("mail").await.expect_err("unknown");
    assert_eq!(error.to_string(), "there is no worker \"mail\" in the configuration; did you mean \"mails\"?");
    let error = config.connect("rabbit").await.expect_err("unknown");
    assert_eq!(error.to_string(), "there is no broker \"rabbit\" in the configuration; known are: main");
    assert_eq!(config.worker("mails").await.expect_err("no queue").kind(), ErrorKind::NotFound);
    assert!(config.topology("rabbit").is_none() && config.queues("mail").is_none());
}

const TOPOLOGY: &str = r#"
    [topology.main]
    exchanges = { users = "topic", all = "fanout", plain = "direct" }

    [topology.main.queues]
    mails = {}

    [topology.main.queues.thumbs]
    kind = "classic"
    dead_letter = "drop"
    max_priority = 5
    message_ttl = "1h 30m"
    max_length = 1_000
    delivery_limit = false
    arguments = { x-single-active-consumer = true, deep = { list = [1, 2.5, "$${NAME}"] } }

    [[topology.main.bindings]]
    exchange = "users"
    queue = "mails"
    routing_key = "user.*.mail"

    [[topology.main.bindings]]
    exchange = "all"
    queue = "thumbs"
"#;

#[test]
fn a_file_says_all_that_a_topology_can() {
    let config = parse(&format!("brokers.main = \"memory://\"\n{TOPOLOGY}"));
    let deep = Value::Map([("list".to_owned(), Value::List(vec![1.into(), 2.5.into(), "${NAME}".into()]))].into());
    let expected = Topology::new()
        .exchange(Exchange::topic("users"))
        .exchange(Exchange::fanout("all"))
        .exchange(Exchange::direct("plain"))
        .queue(Queue::new("mails"))
        .queue(
            Queue::new("thumbs")
                .classic()
                .dead_letter(DeadLetter::Drop)
                .max_priority(5)
                .message_ttl(std::time::Duration::from_secs(5400))
                .max_length(1000)
                .delivery_limit(None)
                .argument("x-single-active-consumer", true)
                .argument("deep", deep),
        )
        .bind("users", "mails", "user.*.mail")
        .bind("all", "thumbs", "");
    assert_eq!(config.topology("main"), Some(&expected));

    // Whoever adds a field there adds it here and to the file.
    let Queue {
        name: _,
        kind: QueueKind::Classic,
        dead_letter: _,
        max_priority: _,
        message_ttl: _,
        max_length: _,
        delivery_limit: _,
        arguments: _,
        ..
    } = &expected.queues[1]
    else {
        panic!("a classic queue");
    };
    let (Exchange { name: _, kind: ExchangeKind::Topic, .. }, Binding { exchange: _, queue: _, routing_key: _, .. }) =
        (&expected.exchanges[0], &expected.bindings[0])
    else {
        panic!("a topic exchange");
    };
}

#[tokio::test]
async fn a_topology_is_declared_verified_or_left_alone() {
    let text = |declare: &str| {
        format!(
            "brokers.main = \"memory://config-declare\"\ntopology.main = {{ {declare}queues = {{ mails = {{}} }} }}\n\
             workers.mails.queue = \"mails\""
        )
    };
    let keep = swarrot::connect("memory://config-declare").await.unwrap();
    for declare in ["declare = \"verify\", ", "declare = false, "] {
        let error = parse(&text(declare)).worker("mails").await.expect_err("nothing was declared");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{declare}");
    }
    assert_eq!(keep.stats("mails").await.expect_err("not yet").kind(), ErrorKind::NotFound);
    let config = parse(&text(""));
    config.connect("main").await.unwrap();
    assert_eq!(keep.stats("mails").await.expect_err("connecting declares nothing").kind(), ErrorKind::NotFound);
    drop(config.worker("mails").await.unwrap());
    keep.stats("mails").await.expect("declared by now");
    for declare in ["declare = \"verify\", ", "declare = false, ", "declare = true, "] {
        let worker = parse(&text(declare)).worker("mails").await;
        assert!(worker.is_ok(), "{declare}: {worker:?}");
    }
}

#[test]
fn variables_stand_for_values() {
    let text = r#"
        brokers.main = "amqp://${AMQP_USER}:${AMQP_PASSWORD}@mq.example.org/${AMQP_VHOST:-}"
        [workers.mails]
        queue = "${PREFIX:-}mails"
        concurrency = "${CONCURRENCY:-8}"
        spawned = "${SPAWNED:-true}"
        deadline = "${DEADLINE:-10}s"
        max_memory = "${MEMORY:-512} MiB"
        crash_limit = "${DELIVERIES:-5}"
        topology = 1
    "#;
    let loader = Loader::new().variables(|name| match name {
        "AMQP_USER" => Some("ada".to_owned()),
        "AMQP_PASSWORD" => Some("hunter2\"\n[workers.evil]".to_owned()),
        "PREFIX" => Some("x\"\nconcurrency = 99 #".to_owned()),
        _ => None,
    });
    // The only mistakes are the key that is none, the name of the queue, and what is no part of a URL; nothing was injected.
    let error = loader.parse(text).expect_err("a mistake").to_string();
    assert!(!error.contains("evil") && !error.contains("99") && !error.contains("hunter2"), "{error}");
    assert!(error.contains("line 10, column 9: unknown key \"topology\""), "{error}");
    assert!(error.contains("not what \"${PREFIX:-}mails\" stands for"), "{error}");

    let loader = loader.variables(|name| ["AMQP_USER", "AMQP_PASSWORD"].contains(&name).then(|| "hunter2".to_owned()));
    let config = loader.parse(text.replace("topology = 1", "")).unwrap();
    assert_eq!(config.queues("mails").unwrap(), ["mails"]);
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"), "{config:?}");
}
