//! Together with a client of another language, which knows nothing of us: Python's pika.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value as Json, json};
use support::{Bench, secs, take};
use swarrot_core::layer::Retry;
use swarrot_core::message::names;
use swarrot_core::{
    Broker, Counts, Delivery, Headers, Message, MessagePublisherExt, Outcome, Outgoing, Properties, ProviderOptions,
    Report, Value, Worker,
};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs one of the scripts beside this file, and answers with what it prints.
async fn python(script: &str, queue: &str, arguments: &[&str]) -> String {
    let Ok(python) = std::env::var("SWARROT_TEST_PYTHON") else {
        panic!("SWARROT_TEST_PYTHON is not set: run `cargo xtask test`, or set it to a python3 that has pika");
    };
    let Ok(url) = std::env::var("SWARROT_TEST_AMQP_URL") else { panic!("{NO_SERVER}") };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pika").join(script);
    let mut command = Command::new(python);
    command.arg(path).args([&url, queue]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(secs(60), command.output()).await.expect("it ends").expect("python runs");
    assert!(output.status.success(), "{script} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

const NO_SERVER: &str = "SWARROT_TEST_AMQP_URL is not set: run `cargo xtask test`, or set it to a RabbitMQ server";

async fn bench(test: &str) -> Bench {
    assert!(std::env::var_os("SWARROT_TEST_AMQP_URL").is_some(), "{NO_SERVER}");
    Bench::new(test).await
}

/// pika publishes these cases; a worker handles all.
async fn handled(bench: &Bench, cases: &[&str]) -> Vec<Delivery> {
    python("publish.py", &bench.queue, cases).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let report = work(bench, cases.len(), move |worker| {
        worker.run(move |delivery: Delivery| {
            note.lock().expect("no panic").push(delivery);
            async { Outcome::Ack }
        })
    })
    .await;
    assert_eq!(report.counts.acked, cases.len() as u64, "{report}");
    let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    for delivery in &seen {
        assert_eq!((delivery.exchange(), delivery.routing_key()), ("", bench.queue.as_str()));
        assert_eq!((delivery.attempt(), delivery.redelivered(), delivery.delivery_count()), (1, false, Some(1)));
    }
    seen
}

/// A worker for so many messages.
async fn work<F>(bench: &Bench, messages: usize, run: impl FnOnce(Worker) -> F) -> Report
where
    F: Future<Output = Result<Report, swarrot_core::WorkerError>>,
{
    let worker = Worker::new(bench.provider(10).await).signals_off().max_messages(messages as u64);
    timeout(secs(30), run(worker)).await.expect("all messages come").expect("the worker ends well")
}

/// What pika takes from a queue.
async fn taken(queue: &str, count: usize) -> Vec<Json> {
    let printed = python("consume.py", queue, &[&count.to_string()]).await;
    let mut messages: Vec<Json> = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(messages.len(), count);
    for message in &mut messages {
        // It is of no use to others, and there only if another of the same message id was under way.
        if let Some(publish_id) = message["headers"].as_object_mut().and_then(|it| it.remove("swarrot_publish_id")) {
            assert_eq!(publish_id["type"], "l");
        }
        assert_eq!(message["exchange"], "");
        assert_eq!(message["routing_key"], queue);
    }
    messages
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.map(|(name, value)| (name.to_owned(), value)).into())
}

fn bytes(content: &'static [u8]) -> Value {
    Value::Bytes(Bytes::from_static(content))
}

#[tokio::test]
async fn messages_without_anything_are_handled() {
    let bench = bench("pika-bare").await;
    let seen = handled(&bench, &["bare", "empty", "binary", "large", "no headers"]).await;
    let binary: Vec<u8> = (0..=255).collect();
    let large = (0..=250).collect::<Vec<u8>>().repeat(2000);
    for (delivery, body) in seen.iter().zip([&b"bare"[..], b"", &binary, &large, b"x"]) {
        assert!(*delivery.message() == Message::new(body.to_vec()), "{:?}", delivery.message().properties);
        assert_eq!(delivery.id(), "");
    }
    bench.end().await;
}

#[tokio::test]
async fn foreign_properties_arrive() {
    let bench = bench("pika-properties").await;
    let seen = handled(&bench, &["properties", "transient"]).await;
    let text = |text: &str| Some(text.to_owned());
    let mut all = Properties::default();
    all.content_type = text("text/plain; charset=latin1");
    all.content_encoding = text("gzip");
    all.priority = Some(7);
    all.correlation_id = text("Wörter 1");
    all.reply_to = text("replies/größe");
    all.ttl = Some(secs(86_400));
    all.message_id = text("not-a-uuid");
    all.timestamp = Some(1_700_000_000);
    all.message_type = text("user.reset");
    all.app_id = text("legacy \u{1f40d}");
    assert_eq!((&seen[0].message().properties, seen[0].body()), (&all, &Bytes::from_static(b"{}")));

    let mut least = Properties::default();
    least.priority = Some(0);
    least.ttl = Some(Duration::from_millis(99_999));
    least.message_id = text("");
    least.timestamp = Some(0);
    assert_eq!(seen[1].message().properties, least);
    assert!(seen.iter().all(|delivery| delivery.headers().is_empty()));
    bench.end().await;
}

#[tokio::test]
async fn foreign_headers_arrive_with_their_types() {
    let of_pika = Headers::from_iter([
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("minus one", Value::Int(-1)),
        ("least of 32 bits", Value::Int(i32::MIN.into())),
        ("most of 32 bits", Value::Int(i32::MAX.into())),
        ("beyond 32 bits", Value::Int(i64::from(i32::MIN) - 1)),
        ("small, but wide", Value::Int(-7)),
        ("least of 64 bits", Value::Int(i64::MIN)),
        ("most of 64 bits", Value::Int(i64::MAX)),
        ("decimal", Value::Float(19.99)),
        ("negative decimal", Value::Float(-1.5)),
        ("whole decimal", Value::Float(-3.0)),
        ("timestamp", Value::Timestamp(1_700_000_000)),
        ("epoch", Value::Timestamp(0)),
        ("void", Value::Null),
        ("text", Value::from("Grüße, 世界 \u{1f600}")),
        ("no text", Value::from("")),
        ("zero in text", Value::from("a\0b")),
        ("bytes", bytes(b"\0\xff\x80")),
        ("no bytes", bytes(b"")),
        (
            "list",
            Value::List(vec![
                Value::Int(1),
                Value::from("zwei"),
                Value::Null,
                Value::List(vec![Value::Int(-3), Value::List(vec![])]),
                map([("é", bytes(b"\xff"))]),
            ]),
        ),
        ("no list", Value::List(vec![])),
        (
            "map",
            map([
                ("", Value::from("no name")),
                ("inner", map([("decimal", Value::Float(0.01)), ("when", Value::Timestamp(1_700_000_000))])),
                ("list", Value::List(vec![Value::Bool(true)])),
            ]),
        ),
        ("no map", map([])),
    ]);
    let of_others = Headers::from_iter([
        ("b", Value::Int(-128)),
        ("B", Value::Int(255)),
        ("s", Value::Int(-32_768)),
        ("u", Value::Int(65_535)),
        ("I", Value::Int(-2)),
        ("i", Value::Int(u32::MAX.into())),
        ("l", Value::Int(-3)),
        ("L", Value::Int(-4)),
        ("f", Value::Float(0.5)),
        ("d", Value::Float(-1.0e300)),
        ("small decimal", Value::Float(3.0e-40)),
        ("smallest decimal", Value::Float(1.0e-255)),
        ("least decimal", Value::Float(i32::MIN.into())),
        ("Latin-1", bytes(b"Gr\xfc\xdfe")),
        ("late", Value::Timestamp(u64::MAX)),
    ]);
    let bench = bench("pika-headers").await;
    let seen = handled(&bench, &["pika", "others"]).await;
    for (delivery, expected) in seen.iter().zip([of_pika, of_others]) {
        for (name, value) in expected.iter() {
            assert_eq!(delivery.headers().get(name), Some(value), "{name}");
        }
        assert_eq!(delivery.headers(), &expected);
    }
    bench.end().await;
}

#[tokio::test]
async fn headers_of_any_name_arrive() {
    let bench = bench("pika-names").await;
    let seen = handled(&bench, &["names"]).await;
    let long = "n".repeat(255);
    let names = [("", 1), (&long, 2), ("größe", 3), ("имя/世界 \u{1f600}", 4), ("a b\tc", 5), ("\0", 6)];
    assert_eq!(seen[0].headers(), &Headers::from_iter(names));
    bench.end().await;
}

#[tokio::test]
async fn what_is_nested_too_deep_is_parked_and_others_are_handled() {
    let bench = bench("pika-nested").await;
    let cases = ["far beyond", "beyond the limit", "at the limit"];
    python("publish.py", &bench.queue, &cases).await;
    let report = work(&bench, 3, |worker| {
        worker.run(|headers: Headers| async move {
            assert_eq!(headers.get("nested").map(Value::depth), Some(8));
        })
    })
    .await;
    assert_eq!((report.counts.acked, report.counts.rejected, report.counts.errors), (1, 2, 0), "{report}");
    let dead = names::dead_letter_queue(&bench.queue);
    let dead = bench.broker.provider(&dead, ProviderOptions::default()).await.expect("it exists");
    for parked in take(&*dead, 2).await {
        let failure = parked.message().failure().expect("it failed");
        assert_eq!(failure.source_queue.as_deref(), Some(&*bench.queue));
        let reason = failure.reason.expect("a reason");
        assert!(reason.contains("header \"nested\" is nested"), "{reason}");
    }
    bench.end().await;
}

/// What PHP Swarrot has tried twice is tried for the third time here, however wide its count is.
#[tokio::test]
async fn a_count_that_others_began_goes_on() {
    let bench = bench("pika-count").await;
    let cases = ["tried twice", "tried twice, wide", "tried twice, as text", "tried twice, odd"];
    python("publish.py", &bench.queue, &cases).await;
    let fail = |delivery: Delivery| async move {
        assert_eq!(delivery.attempt(), 3);
        Err::<(), _>(std::io::Error::other("451 busy"))
    };
    let again = Retry::fixed(Duration::ZERO).attempts(4);
    let report = work(&bench, 4, |worker| worker.layer(again).run(fail)).await;
    assert_eq!((report.counts.retried, report.counts.panics), (4, 0), "{report}");
    let retried = taken(&bench.queue, 4).await;
    for message in &retried {
        assert_eq!(message["headers"][names::RETRY_ATTEMPTS], json!({"type": "l", "value": 3}));
    }
    let kept = json!({"type": "S", "value": "kept"});
    assert_eq!(retried.iter().filter(|message| message["headers"]["x-custom"] == kept).count(), 1);

    python("publish.py", &bench.queue, &["tried twice"]).await;
    let no_more = Retry::fixed(Duration::ZERO).attempts(3);
    let report = work(&bench, 1, |worker| worker.layer(no_more).run(fail)).await;
    assert_eq!((report.counts.rejected, report.counts.panics), (1, 0), "{report}");
    let parked = taken(&names::dead_letter_queue(&bench.queue), 1).await;
    assert_eq!(parked[0]["headers"][names::ATTEMPTS], json!({"type": "l", "value": 3}));
    assert_eq!(parked[0]["headers"][names::REASON], json!({"type": "S", "value": "451 busy"}));
    bench.end().await;
}

/// A message that is tried here, then by PHP Swarrot, then here again keeps its count, its times and its history, whichever
/// client PHP uses.
#[tokio::test]
async fn a_message_that_goes_to_php_and_back_is_the_same() {
    for client in ["amqp", "amqplib"] {
        let bench = bench("pika-php").await;
        bench.publish(Message::new("x").header("own", "stays")).await;
        let fail = |delivery: Delivery| async move { Err::<(), _>(format!("down {}", delivery.attempt())) };
        let again = Retry::fixed(Duration::ZERO).attempts(3).max_age(secs(3600));
        let report = work(&bench, 1, |worker| worker.layer(again.clone()).run(fail)).await;
        assert_eq!(report.counts.retried, 1, "{report}");
        python("retry_as_php.py", &bench.queue, &[client]).await;

        let fail = |delivery: Delivery| async move {
            let failure = delivery.message().failure().expect("it failed before");
            assert!(delivery.age().is_some_and(|age| age < secs(60)) && failure.first_at.is_some(), "{failure:?}");
            assert_eq!(delivery.headers().get("own"), Some(&"stays".into()));
            Err::<(), _>(format!("down {}", delivery.attempt()))
        };
        let report = work(&bench, 1, |worker| worker.layer(again).run(fail)).await;
        assert_eq!((report.counts.rejected, report.counts.panics), (1, 0), "{report}");
        let dead = names::dead_letter_queue(&bench.queue);
        let dead = bench.broker.provider(&dead, ProviderOptions::default()).await.expect("it exists");
        let failure = take(&*dead, 1).await[0].message().failure().expect("it failed");
        let told: Vec<_> = failure.history.iter().map(|failed| (failed.attempt, failed.reason.as_str())).collect();
        assert_eq!((failure.attempts, told), (3, vec![(1, "down 1"), (3, "down 3")]));
        bench.end().await;
    }
}

/// A message with everything in it.
fn full() -> Message {
    let mut message = Message::new(Bytes::from_static(b"\0\xff body"))
        .id("id-1")
        .content_type("text/plain")
        .message_type("user.reset")
        .correlation_id("größe")
        .reply_to("replies")
        .priority(3)
        .header("null", Value::Null)
        .header("bool", true)
        .header("int", i64::MIN)
        .header("float", 0.1)
        .header("text", "té\"xt \u{1f600}")
        .header("bytes", bytes(b"\0\xff"))
        .header("time", Value::Timestamp(1_700_000_000))
        .header("list", vec![Value::Int(-1), Value::List(vec![Value::Null])])
        .header("map", BTreeMap::from([("é".to_owned(), map([]))]))
        .header("größe/\u{1f600}", 1_i64)
        .header("n".repeat(255), false);
    message.properties.content_encoding = Some("gzip".to_owned());
    message.properties.timestamp = Some(1_700_000_000);
    message.properties.app_id = Some("tests".to_owned());
    message
}

/// What pika makes of [`full`].
fn full_properties() -> Json {
    json!({
        "content_type": "text/plain",
        "content_encoding": "gzip",
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "größe",
        "reply_to": "replies",
        "message_id": "id-1",
        "timestamp": 1_700_000_000,
        "type": "user.reset",
        "app_id": "tests",
    })
}

/// The properties with one more.
fn with(mut properties: Json, name: &str, value: &str) -> Json {
    properties[name] = value.into();
    properties
}

fn hex(body: &[u8]) -> String {
    body.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Takes the headers of [`full`] out, each checked.
fn take_full_headers(message: &mut Json) -> Json {
    let expected = json!({
        "null": {"type": "V", "value": null},
        "bool": {"type": "t", "value": true},
        "int": {"type": "l", "value": i64::MIN},
        "float": {"type": "d", "value": 0.1},
        "text": {"type": "S", "value": "té\"xt \u{1f600}"},
        "bytes": {"type": "x", "value": "00ff"},
        "time": {"type": "T", "value": 1_700_000_000},
        "list": {"type": "A", "value": [
            {"type": "l", "value": -1},
            {"type": "A", "value": [{"type": "V", "value": null}]},
        ]},
        "map": {"type": "F", "value": {"é": {"type": "F", "value": {}}}},
        "größe/\u{1f600}": {"type": "l", "value": 1},
        "n".repeat(255): {"type": "t", "value": false},
    });
    let headers = message["headers"].as_object_mut().expect("headers");
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(headers.remove(name).as_ref(), Some(value), "{name}");
    }
    message["headers"].take()
}

const FULL_BODY: &str = "00ff20626f6479";

#[tokio::test]
async fn what_we_publish_is_where_others_look_for_it() {
    let bench = bench("pika-read").await;
    // RabbitMQ checks that it is the connection's own.
    let user = support::url().parse::<swarrot_core::BrokerUrl>().expect("a URL").username;
    let user = user.unwrap_or_else(|| "guest".to_owned());
    let mut message = full().ttl(Duration::from_micros(59_999_001));
    message.properties.user_id = Some(user.clone());
    bench.publish(message).await;
    bench.publish(Message::new("")).await;
    let mut messages = taken(&bench.queue, 2).await;

    let expected = with(with(full_properties(), "expiration", "60000"), "user_id", &user);
    assert_eq!(messages[0]["properties"], expected);
    assert_eq!(take_full_headers(&mut messages[0]), json!({}));
    assert_eq!((&messages[0]["body"], &messages[0]["redelivered"]), (&json!(FULL_BODY), &json!(false)));

    let id = messages[1]["properties"]["message_id"].as_str().expect("an id");
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "a UUID v7: {id}");
    assert_eq!(messages[1]["properties"], json!({"delivery_mode": 2, "message_id": id}));
    assert_eq!((&messages[1]["headers"], &messages[1]["body"]), (&json!({}), &json!("")));
    bench.end().await;
}

#[tokio::test]
async fn a_delayed_message_arrives_as_it_was_published() {
    let bench = bench("pika-delayed").await;
    let published = Instant::now();
    let delayed = Outgoing::new(&bench.queue, full()).delay(Duration::from_millis(1500));
    bench.publisher().await.publish_one(delayed).await.expect("published");
    let mut messages = taken(&bench.queue, 1).await;
    assert!(published.elapsed() >= Duration::from_millis(1500), "{:?}", published.elapsed());
    assert_eq!((&messages[0]["properties"], &messages[0]["body"]), (&full_properties(), &json!(FULL_BODY)));
    let rest = take_full_headers(&mut messages[0]);
    // What the broker has noted on the way is all that came on top.
    let rest = rest.as_object().expect("headers");
    assert!(rest.contains_key("x-death") && rest.keys().all(|name| name.contains("-death")), "{rest:?}");
    bench.end().await;
}

#[tokio::test]
async fn retried_and_parked_messages_tell_others_what_happened() {
    let bench = bench("pika-failed").await;
    let began = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for body in ["retry", "later", "park"] {
        let mut message = full().ttl(secs(60));
        message.body = body.into();
        bench.publish(message).await;
    }
    let outcome = |body: String| async move {
        let reason = Some("451 später".into());
        match body.as_str() {
            "retry" => Outcome::Retry { after: Duration::ZERO, reason },
            "later" => Outcome::Retry { after: Duration::from_millis(300), reason },
            _ => Outcome::reject("550 no such user"),
        }
    };
    let report = work(&bench, 3, |worker| worker.run(outcome)).await;
    let Counts { retried, rejected, errors, .. } = report.counts;
    assert_eq!((retried, rejected, errors), (2, 1, 0), "{report}");

    let mut messages = taken(&bench.queue, 2).await;
    // The worker may have fetched one again before it stopped, and given it back.
    messages.sort_by_key(|message| message["body"] != hex(b"retry"));
    messages.extend(taken(&names::dead_letter_queue(&bench.queue), 1).await);
    let count = json!({"type": "l", "value": 1});
    for (message, body) in messages.iter_mut().zip([&b"retry"[..], b"later", b"park"]) {
        assert_eq!(message["body"], hex(body));
        // A time to live would end a delay early, and empty the dead-letter queue.
        let again = body == b"retry";
        let expected = if again { with(full_properties(), "expiration", "60000") } else { full_properties() };
        assert_eq!(message["properties"], expected);

        let mut headers = take_full_headers(message);
        let headers = headers.as_object_mut().expect("headers");
        // What the broker notes for itself: where it was delayed, and how often it was delivered.
        headers.retain(|name, _| !name.starts_with("x-"));
        let mut at = 0;
        for name in [names::FIRST_FAILURE, names::LAST_FAILURE] {
            let time = headers.remove(name).expect(name);
            assert_eq!(time["type"], "T");
            at = time["value"].as_u64().expect("seconds");
            assert!((began..began + 60).contains(&at), "{time}");
        }
        let history = headers.remove(names::HISTORY).expect("a history");
        let reason = if body == b"park" { "550 no such user" } else { "451 später" };
        assert_eq!(history, json!({"type": "S", "value": format!("1\t{at}\t{reason}")}));
        let mut expected = json!({
            names::EXCHANGE: {"type": "S", "value": ""},
            names::ROUTING_KEY: {"type": "S", "value": bench.queue},
        });
        if body == b"park" {
            expected[names::REASON] = json!({"type": "S", "value": "550 no such user"});
            expected[names::SOURCE_QUEUE] = json!({"type": "S", "value": bench.queue});
            expected[names::ATTEMPTS] = count.clone();
        } else {
            expected[names::REASON] = json!({"type": "S", "value": "451 später"});
            expected[names::RETRY_ATTEMPTS] = count.clone();
        }
        assert_eq!(Json::from(headers.clone()), expected);
    }
    bench.end().await;
}
