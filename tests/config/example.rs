//! The example and the documentation tell of every key.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use swarrot::config::{Loader, reference};

const EXAMPLE: &str = include_str!("../../examples/swarrot.toml");

fn loader() -> Loader {
    Loader::new().variables(|name| (name == "REDIS_PASSWORD").then(|| "hunter2".to_owned()))
}

#[test]
fn the_example_has_every_key() {
    let seen = loader().keys_in(EXAMPLE);
    let known: BTreeSet<String> = reference()
        .iter()
        .flat_map(|section| section.keys.keys.iter().map(|key| format!("{}.{}", section.keys.options, key.name)))
        .collect();
    let missing: Vec<_> = known.difference(&seen).collect();
    assert!(missing.is_empty(), "add them to examples/swarrot.toml: {missing:?}");
    assert!(known.len() > 50, "{known:?}");
}

#[test]
fn the_example_is_right() {
    // The one variable that it needs is missed in both places, and nothing else.
    let error = Loader::new().variables(|_| None).parse(EXAMPLE).expect_err("a variable");
    assert_eq!(error.problems().len(), 2, "{error}");
    assert!(error.to_string().contains("the environment variable REDIS_PASSWORD is not set"), "{error}");
    let config = loader().parse(EXAMPLE).unwrap();
    assert_eq!(config.workers().collect::<Vec<_>>(), ["mails", "all", "fair", "slow"]);
    assert_eq!(config.message_types().collect::<Vec<_>>(), ["user.registered", "newsletter"]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_example_runs() {
    // Another broker, and what only RabbitMQ knows.
    let is_elsewhere = |line: &&str| line.contains("redis://") || line.starts_with("arguments = ");
    let text = EXAMPLE.lines().filter(|line| !is_elsewhere(line)).collect::<Vec<_>>().join("\n");
    let config = loader().parse(text).unwrap();
    for message_type in ["user.registered", "newsletter"] {
        config.publish(message_type, swarrot::Message::new("{}")).await.unwrap();
    }
    for name in ["mails", "all", "fair", "slow"] {
        let worker = config.worker(name).await.unwrap().max_messages(0).signals_off();
        worker.run(|| async {}).await.unwrap();
    }
    config.close().await.unwrap();
}

#[test]
fn the_documentation_has_every_key() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let tables = swarrot::config::reference_markdown();
    assert!(page.contains(&tables), "docs/configuration.md is out of date: run `cargo xtask tidy`");
}

/// What the documentation says of a key that is missing.
fn default_of(options: &str, key: &str) -> String {
    let sections = reference();
    let keys = sections.iter().find(|section| section.keys.options == options).map(|section| &section.keys.keys);
    let key = keys.and_then(|keys| keys.iter().find(|known| known.name == key)).expect("a key");
    key.default.expect("a default").trim_matches('"').to_owned()
}

#[test]
fn documented_defaults_are_those_of_the_code() {
    let limits = swarrot::Limits::default();
    for (key, value) in [
        ("body", limits.body),
        ("headers", limits.headers),
        ("header_name", limits.header_name),
        ("header_value", limits.header_value),
        ("nesting", limits.nesting),
    ] {
        let (number, unit) = default_of("LimitKeys", key).split_once(' ').map_or_else(
            || (default_of("LimitKeys", key), String::new()),
            |(number, unit)| (number.to_owned(), unit.to_owned()),
        );
        let factor = match unit.as_str() {
            "MiB" => 1 << 20,
            "KiB" => 1 << 10,
            _ => 1,
        };
        assert_eq!(number.parse::<usize>().unwrap() * factor, value, "{key}");
    }
    let timeout = swarrot::PublisherOptions::default().timeout;
    assert_eq!(default_of("PublisherKeys", "timeout"), format!("{}s", timeout.as_secs()));
    assert_eq!(default_of("QueueKeys", "delivery_limit"), swarrot::topology::Queue::DELIVERY_LIMIT.to_string());
    let attempts = swarrot::layer::Retry::DEFAULT_ATTEMPTS.to_string();
    assert!(default_of("Retry", "attempts").starts_with(&attempts));
}

#[test]
fn every_key_is_described() {
    for section in reference() {
        assert!(section.keys.about.ends_with('.'), "{}", section.path);
        for key in &section.keys.keys {
            assert!(key.about.ends_with('.') && !key.kind.is_empty(), "{}.{}: {:?}", section.path, key.name, key.about);
        }
    }
}
