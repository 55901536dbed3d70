//! Publishing by message type.

use std::time::Duration;

use swarrot::config::{Config, Publish};
use swarrot::memory::MemoryBroker;
use swarrot::{ErrorKind, Message};

const TEXT: &str = r#"
    brokers.main = "memory://NAME"

    [topology.main]
    exchanges.users = "topic"
    queues.mails = { max_priority = 9 }
    queues.audit = {}
    bindings = [
        { exchange = "users", queue = "mails", routing_key = "user.#" },
        { exchange = "users", queue = "audit", routing_key = "user.#" },
    ]

    [publishers."user.registered"]
    exchange = "users"
    routing_key = "user.registered"
    content_type = "application/json"
    app_id = "shop"
    priority = 3
    ttl = "1h"
    delay = "5m"

    [publishers.plain]
    routing_key = "mails"
    message_type = "mail.plain"
"#;

/// A configuration of a broker with a name of its own, which the second one looks at.
fn config(name: &str) -> (Config, MemoryBroker) {
    let url = format!("memory://{name}");
    let broker = MemoryBroker::connect(&url.parse().unwrap()).unwrap();
    (Config::parse(TEXT.replace("memory://NAME", &url)).unwrap(), broker)
}

#[tokio::test]
async fn the_file_says_where_and_how() {
    let (config, broker) = config("where-and-how");
    config.publish("user.registered", Message::new("{}")).await.unwrap();
    let stats = swarrot::Broker::stats(&broker, "audit").await.unwrap();
    assert_eq!((stats.ready, stats.delayed), (0, Some(1)));

    config.publish("user.registered", Publish::new(Message::new("{}")).delay(Duration::ZERO)).await.unwrap();
    let seen = swarrot::Broker::peek(&broker, "mails", std::num::NonZeroUsize::MIN).await.unwrap();
    let properties = &seen[0].properties;
    assert_eq!(properties.message_type.as_deref(), Some("user.registered"));
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.app_id.as_deref(), Some("shop"));
    assert_eq!(properties.priority, Some(3));
    assert_eq!(properties.ttl, Some(Duration::from_secs(3600)));
    assert!(properties.message_id.is_some());
}

#[tokio::test]
async fn a_message_and_a_call_say_more() {
    let (config, broker) = config("say-more");
    let publisher = config.publisher("user.registered").await.unwrap();
    assert_eq!(publisher.message_type(), "user.registered");
    let message = Message::new("x").priority(9).message_type("own").content_type("text/plain");
    let publish = Publish::new(message).exchange("").routing_key("mails").delay(Duration::ZERO);
    publisher.publish(publish).await.unwrap();
    let seen = swarrot::Broker::peek(&broker, "mails", std::num::NonZeroUsize::MIN).await.unwrap();
    let properties = &seen[0].properties;
    assert_eq!((properties.priority, properties.message_type.as_deref()), (Some(9), Some("own")));
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    let audit = swarrot::Broker::stats(&broker, "audit").await.unwrap();
    assert_eq!((audit.ready, audit.delayed), (0, Some(0)), "the exchange was another one");
}

#[tokio::test]
async fn several_at_once_have_a_result_each() {
    let (config, broker) = config("several");
    let publisher = config.publisher("plain").await.unwrap();
    let results = publisher.publish_all(["a", "b"].map(Message::new)).await;
    assert!(results.iter().all(Result::is_ok) && results.len() == 2, "{results:?}");
    let seen = swarrot::Broker::peek(&broker, "mails", std::num::NonZeroUsize::MIN).await.unwrap();
    assert_eq!(seen[0].properties.message_type.as_deref(), Some("mail.plain"));
}

#[tokio::test]
async fn what_is_not_there_is_an_error_with_the_nearest() {
    let (config, _broker) = config("not-there");
    let error = config.publish("user.registred", Message::new("x")).await.expect_err("a typing error");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "there is no message type \"user.registred\" in the configuration; did you mean \"user.registered\"?"
    );
    let error = config.publisher("nothing").await.expect_err("unknown").to_string();
    assert_eq!(error, "there is no message type \"nothing\" in the configuration; known are: user.registered, plain");
    let publish = Publish::new(Message::new("x")).exchange("none");
    assert_eq!(config.publish("plain", publish).await.expect_err("no exchange").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_holds_up_no_other() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "brokers = {{ main = \"memory://\", silent = \"redis://127.0.0.1:{port}\" }}\n\
         topology.main.queues.mails = {{}}\n\
         publishers.plain = {{ broker = \"main\", routing_key = \"mails\" }}\n\
         publishers.silent = {{ broker = \"silent\", routing_key = \"mails\" }}"
    );
    let config = Config::parse(text).unwrap();
    let opening = tokio::spawn({
        let config = config.clone();
        async move { config.publisher("silent").await }
    });
    let _silent = listener.accept().await.unwrap();
    config.publish("plain", Message::new("x")).await.unwrap();
    assert!(!opening.is_finished(), "it was to wait all the time");
    opening.abort();
}
