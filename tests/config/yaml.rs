//! A file in YAML says what the same file in TOML says.

use std::fmt::Write as _;

use swarrot::config::{Config, Loader};
use swarrot::topology::{ExchangeKind, QueueKind};

const YAML: &str = "\
brokers:
  main: memory://
topology:
  main:
    exchanges: { events: topic }
    queues:
      mails:
      slow: &slow
        kind: classic
        max_length: 10
        delivery_limit: false
        arguments: { x-single-active-consumer: true, x-text: '5', x-list: [1, 0.5, a] }
      slower: *slow
    bindings:
      - exchange: events
        queue: mails
        routing_key: user.*.mail
workers:
  mails:
    queue: mails
    concurrency: 4
    max_time: 1h 30m
    layers:
      - layer: retry
        exponential: { first: 30s, max: 30m }
        jitter: true
";

const TOML: &str = r#"
[brokers]
main = "memory://"
[topology.main.exchanges]
events = "topic"
[topology.main.queues]
mails = {}
slow = { kind = "classic", max_length = 10, delivery_limit = false, arguments = { x-single-active-consumer = true, x-text = "5", x-list = [1, 0.5, "a"] } }
slower = { kind = "classic", max_length = 10, delivery_limit = false, arguments = { x-single-active-consumer = true, x-text = "5", x-list = [1, 0.5, "a"] } }
[[topology.main.bindings]]
exchange = "events"
queue = "mails"
routing_key = "user.*.mail"
"#;

#[test]
fn the_same_as_toml() {
    let (yaml, toml) = (Loader::new().parse_yaml(YAML).expect("right"), Config::parse(TOML).expect("right"));
    assert_eq!(yaml.topology("main"), toml.topology("main"));
    let topology = yaml.topology("main").expect("there");
    assert_eq!(topology.exchanges[0].kind, ExchangeKind::Topic);
    assert_eq!((topology.queues[1].kind, topology.queues[1].delivery_limit), (QueueKind::Classic, None));
    assert_eq!(yaml.workers().collect::<Vec<_>>(), ["mails"]);
    Loader::new().parse_yaml("").expect("an empty file");
    Loader::new().parse_yaml("# nothing\n---\n").expect("a file with a comment");
}

#[test]
fn by_the_name_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["swarrot.yaml", "swarrot.YML"] {
        let file = folder.path().join(name);
        std::fs::write(&file, YAML).expect("writes");
        Config::load(&file).expect("right");
    }
    let file = folder.path().join("swarrot.toml");
    std::fs::write(&file, YAML).expect("writes");
    assert!(Config::load(&file).expect_err("no TOML").to_string().contains("not TOML"));
}

#[test]
fn mistakes_have_a_place() {
    for (text, expected) in [
        (
            "brokers:\n  main: memory://\nworkrs: 5\n",
            "line 3, column 1: unknown key \"workrs\"; did you mean \"workers\"?",
        ),
        (
            "brokers: {main: memory://}\nworkers:\n  é: {queue: q, concurrency: many}\n",
            "line 3, column 30: \"concurrency\" must be a whole number from 1, not \"many\"",
        ),
        ("brokers: [", "not YAML: "),
        ("brokers:\n\tmain: x", "not YAML: "),
        ("- a\n- b\n", "line 1, column 1: a table must be here, with keys such as brokers:"),
        ("brokers: {}\nbrokers: {}\n", "line 2, column 1: the key \"brokers\" is there twice; leave one"),
        ("a: {}\n---\nb: {}\n", "a second document begins here; leave one"),
        ("brokers: !vault x\n", "the tag !vault is not known; leave it out"),
        ("brokers: &a { main: *a }\n", "an alias of what it is in itself; write it out"),
        ("a: &a {}\nb:\n  <<: *a\n", "line 3, column 3: tables are not merged; write the keys out"),
        ("brokers: { ? [a] : b }\n", "a key is a plain text"),
        (
            "brokers:\n  main: ${NOT_SET_ANYWHERE}\n",
            "line 2, column 9: the environment variable NOT_SET_ANYWHERE is not set",
        ),
    ] {
        let error = Loader::new().variables(|_| None).parse_yaml(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn numbers_and_texts_are_told_apart() {
    let value = |written: &str| {
        let text = format!(
            "brokers: {{m: 'memory://'}}\ntopology: {{m: {{queues: {{q: {{arguments: {{x: {written}}}}}}}}}}}\n"
        );
        let config = Loader::new().parse_yaml(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        format!("{:?}", config.topology("m").expect("there").queues[0].arguments["x"])
    };
    for (written, expected) in [
        ("5", "Int(5)"),
        ("-5", "Int(-5)"),
        ("0x1f", "Int(31)"),
        ("0.5", "Float(0.5)"),
        ("1e3", "Float(1000.0)"),
        ("true", "Bool(true)"),
        ("FALSE", "Bool(false)"),
        ("'5'", "String(\"5\")"),
        ("!!str 5", "String(\"5\")"),
        ("yes", "String(\"yes\")"),
        ("inf", "String(\"inf\")"),
        ("1_000", "String(\"1_000\")"),
        ("2001-01-01", "String(\"2001-01-01\")"),
        ("30s", "String(\"30s\")"),
        ("\"a\\nb\"", "String(\"a\\nb\")"),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

#[test]
fn what_is_huge_or_deep_is_refused() {
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    // Each alias is ten times the one before.
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        writeln!(laughs, "a{n}: &a{n} [{before}]").expect("a string takes all");
    }
    for (text, expected) in [(deep, "levels in each other"), (laughs, "aliases count for all that they repeat")] {
        let error = Loader::new().parse_yaml(&text).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
