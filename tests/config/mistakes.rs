//! Every kind of mistake, with the line that tells of it.

use swarrot::config::Loader;

const BROKER: &str = "brokers.main = \"memory://\"\n";
const TWO_BROKERS: &str = "brokers = { main = \"memory://\", backup = \"memory://backup\" }\n";
const WORKER: &str = "brokers.main = \"memory://\"\n[workers.mails]\nqueue = \"mails\"\n";
const TOPOLOGY: &str = "brokers.main = \"memory://\"\n[topology.main]\n";

const GATE: &str = "brokers.main = \"memory://\"\ngates.mail = { gate = \"rate_limit\", deliveries = 5 }\n";

/// What is in the file before, the mistake, and what is said about it.
const MISTAKES: &[(&str, &str, &str)] = &[
    // Keys.
    ("", "[worker.mails]", r#"line 1, column 2: unknown key "worker"; did you mean "workers"?"#),
    (WORKER, "concurency = 3", r#"line 4, column 1: unknown key "concurency"; did you mean "concurrency"?"#),
    (WORKER, "max-messages = 3", r#"line 4, column 1: unknown key "max-messages"; did you mean "max_messages"?"#),
    (
        WORKER,
        "limits = { size = \"1 MiB\" }",
        r#"line 4, column 12: unknown key "size"; known are: body, headers, header_name, header_value, nesting"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"timeout\", limt = \"1m\" }]",
        r#"line 4, column 11: "limit" is missing in workers.mails.layers; it is a duration such as "30s", "5m" or "1h 30m"
line 4, column 32: unknown key "limt"; did you mean "limit"?"#,
    ),
    (TOPOLOGY, "exchange = {}", r#"line 3, column 1: unknown key "exchange"; did you mean "exchanges"?"#),
    (
        TOPOLOGY,
        "queues.mails.ttl = \"1h\"",
        r#"line 3, column 14: unknown key "ttl"; known are: kind, dead_letter, max_priority, message_ttl, max_length, delivery_limit, arguments"#,
    ),
    // What must be there.
    (BROKER, "[workers.mails]", "line 2, column 10: workers.mails has no queue; add queue = with its name"),
    (BROKER, "workers.\"a b\" = {}", "line 2, column 9: workers.\"a b\" has no queue; add queue = with its name"),
    (
        "",
        "workers.mails.queue = \"mails\"",
        r#"line 1, column 9: workers.mails has no broker; add one, as in [brokers] main = "amqp://host/""#,
    ),
    (
        TWO_BROKERS,
        "workers.mails.queue = \"mails\"",
        "line 2, column 9: workers.mails must say which broker; add broker = with one of: backup, main",
    ),
    (
        BROKER,
        "publishers.welcome = {}",
        "line 2, column 12: publishers.welcome goes nowhere; add routing_key = with a queue's name, or exchange = with an exchange's",
    ),
    (
        TOPOLOGY,
        "bindings = [{ exchange = \"users\" }]",
        r#"line 3, column 13: "queue" is missing in topology.main.bindings; it is a name: 1 to 200 letters, digits, '.', '_' or '-'"#,
    ),
    (
        WORKER,
        "layers = [{ limit = \"1m\" }]",
        r#"line 4, column 11: "layer" is missing; known are: deduplicate, instant_retry, max_age, max_deliveries, metrics, peak_memory, reply_errors, retry, timeout, trace"#,
    ),
    // What refers to something.
    (WORKER, "broker = \"mian\"", r#"line 4, column 10: there is no broker "mian"; did you mean "main"?"#),
    (WORKER, "broker = \"rabbit\"", r#"line 4, column 10: there is no broker "rabbit"; known are: main"#),
    (
        "",
        "workers.a = { queue = \"a\", broker = \"main\" }",
        r#"line 1, column 37: there is no broker "main"; add it to [brokers]"#,
    ),
    (
        BROKER,
        "publishers.welcome = { broker = \"Main \", routing_key = \"mails\" }",
        r#"line 2, column 33: there is no broker "Main "; did you mean "main"?"#,
    ),
    (
        BROKER,
        "topology.mian.queues.mails = {}",
        r#"line 2, column 10: there is no broker "mian"; did you mean "main"?"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"retri\", fixed = \"1s\" }]",
        r#"line 4, column 21: there is no layer "retri"; did you mean "retry"?"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"circuit breaker\" }]",
        r#"line 4, column 21: there is no layer "circuit breaker"; known are: deduplicate, instant_retry, max_age, max_deliveries, metrics, peak_memory, reply_errors, retry, timeout, trace"#,
    ),
    // Values of the wrong kind.
    (WORKER, "concurrency = 0", r#"line 4, column 15: "concurrency" must be a whole number from 1, not 0"#),
    (WORKER, "concurrency = -1", r#"line 4, column 15: "concurrency" must be a whole number from 1, not -1"#),
    (WORKER, "concurrency = 1.5", r#"line 4, column 15: "concurrency" must be a whole number from 1, not 1.5"#),
    (WORKER, "concurrency = \"many\"", r#"line 4, column 15: "concurrency" must be a whole number from 1, not "many""#),
    (WORKER, "concurrency = \"8\"", r#"line 4, column 15: "concurrency" must be a whole number from 1, not "8""#),
    (WORKER, "prefetch = 70000", r#"line 4, column 12: "prefetch" must be a whole number from 1 to 65535, not 70000"#),
    (
        WORKER,
        "max_messages = 99999999999999999999999",
        r#"line 4, column 16: "max_messages" must be a whole number from 1, not 99999999999999999999999"#,
    ),
    (WORKER, "spawned = \"yes\"", r#"line 4, column 11: "spawned" must be true or false, not "yes""#),
    (
        WORKER,
        "deadline = \"soon\"",
        r#"line 4, column 12: "deadline" must be a duration such as "30s", "5m" or "1h 30m", not "soon""#,
    ),
    (
        WORKER,
        "deadline = 30",
        r#"line 4, column 12: "deadline" must be a duration such as "30s", "5m" or "1h 30m", not 30"#,
    ),
    (
        WORKER,
        "max_time = \"30\"",
        r#"line 4, column 12: "max_time" must be a duration such as "30s", "5m" or "1h 30m", not "30""#,
    ),
    (
        WORKER,
        "max_time = \"-5s\"",
        r#"line 4, column 12: "max_time" must be a duration such as "30s", "5m" or "1h 30m", not "-5s""#,
    ),
    (
        WORKER,
        "max_memory = \"512\"",
        r#"line 4, column 14: "max_memory" must be a size with its unit, such as "512 MiB" or "64 KiB", not "512""#,
    ),
    (
        WORKER,
        "max_memory = \"a lot\"",
        r#"line 4, column 14: "max_memory" must be a size with its unit, such as "512 MiB" or "64 KiB", not "a lot""#,
    ),
    (
        WORKER,
        "crash_limit = true",
        r#"line 4, column 15: "crash_limit" must be a whole number from 0, or false, not true"#,
    ),
    (WORKER, "dead_letter = \"keep\"", r#"line 4, column 15: "dead_letter" must be "park" or "drop", not "keep""#),
    (WORKER, "limits = 3", r#"line 4, column 10: "limits" must be a table, not 3"#),
    (WORKER, "layers = \"retry\"", r#"line 4, column 10: "layers" must be a list, not "retry""#),
    (
        WORKER,
        "layers = [\"retry\"]",
        r#"line 4, column 11: "layers" must be tables, each with the name of a layer, such as { layer = "timeout", limit = "30s" }, not "retry""#,
    ),
    (
        BROKER,
        "workers.mails.queue = \"no/slash\"",
        r#"line 2, column 23: "queue" must be a name: 1 to 200 letters, digits, '.', '_' or '-', not "no/slash""#,
    ),
    (
        TOPOLOGY,
        "queues.\"a b\" = {}",
        r#"line 3, column 8: "a b" cannot be a name: 1 to 200 letters, digits, '.', '_' or '-'"#,
    ),
    (
        TOPOLOGY,
        "queues.mails.kind = \"quorm\"",
        r#"line 3, column 21: "kind" must be "quorum" or "classic", not "quorm""#,
    ),
    (
        TOPOLOGY,
        "queues.mails.max_priority = 300",
        r#"line 3, column 29: "max_priority" must be a whole number from 0 to 255, not 300"#,
    ),
    (
        TOPOLOGY,
        "queues.mails.arguments.since = 1979-05-27",
        r#"line 3, column 32: "since" must be a text, a number, true or false, a list or a table, not a date or time"#,
    ),
    (
        TOPOLOGY,
        "exchanges.users = \"headers\"",
        r#"line 3, column 19: "users" must be "direct", "topic" or "fanout", not "headers""#,
    ),
    (TOPOLOGY, "declare = \"maybe\"", r#"line 3, column 11: "declare" must be true, false or "verify", not "maybe""#),
    (
        "",
        "brokers = \"memory://\"",
        r#"line 1, column 11: "brokers" must be a table, not a text that is not shown, as it looks like a URL"#,
    ),
    // What does not go together.
    (WORKER, "queues = [\"a\"]", r#"line 4, column 10: "queue" and "queues" exclude each other; leave one out"#),
    (BROKER, "workers.a.queues = []", r#"line 2, column 20: "queues" must be 1 to 255 queues, not 0"#),
    (BROKER, "workers.a.queues = [\"a\", \"a\"]", r#"line 2, column 20: the queue "a" is there twice; leave one out"#),
    (
        BROKER,
        "workers.a.queues = { a = 0 }",
        r#"line 2, column 26: "a" must be a whole number from 1 to 4294967295, not 0"#,
    ),
    (
        WORKER,
        "concurrency = 8\nprefetch = 4",
        r#"line 5, column 12: a "prefetch" of 4 leaves some of 8 slots empty; raise it to 8 or more, or lower "concurrency""#,
    ),
    (
        WORKER,
        "parallelism = 4",
        r#"line 4, column 15: a "parallelism" of 4 leaves loops without a slot, as "concurrency" is 1; raise that or lower this"#,
    ),
    (
        WORKER,
        "ack_before_handling = true\nstop_on_error = true",
        r#"line 5, column 17: "stop_on_error" loses the message that failed under "ack_before_handling"; leave one out"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\" }]",
        "line 4, column 21: the delays are missing; add one of: fixed, list, exponential, polynomial",
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", fixed = \"1s\", list = [\"1s\"] }]",
        "line 4, column 21: fixed, list, exponential and polynomial exclude each other; leave one",
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", list = [] }]",
        r#"line 4, column 37: without a delay there is no retry; add one, such as "30s""#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", list = [\"1s\", \"later\"] }]",
        r#"line 4, column 44: "list" must be a duration such as "30s", "5m" or "1h 30m", not "later""#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", exponential = { first = \"1h\", max = \"1s\" } }]",
        r#"line 4, column 30: "max" is shorter than "first"; exchange them"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", fixed = \"1s\", attempts = 0 }]",
        "line 4, column 55: the first attempt counts too; 1 is no retry at all",
    ),
    (
        WORKER,
        "layers = [{ layer = \"timeout\", limit = \"0s\" }]",
        "line 4, column 40: no handler ends within no time; give it longer",
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", fixed = \"1s\", polynomial = true }]",
        "line 4, column 21: fixed, list, exponential and polynomial exclude each other; leave one",
    ),
    (
        WORKER,
        "layers = [{ layer = \"retry\", fixed = \"1s\", jitter = \"120%\" }]",
        r#"line 4, column 53: "jitter" must be true, false, "equal", "full" or a share such as "20%", not "120%""#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"max_deliveries\", limit = 0 }]",
        r#"line 4, column 47: "limit" must be a whole number from 1 to 4294967295, not 0"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"deduplicate\", store = \"redis://h\", capacity = 5 }]",
        r#"line 4, column 68: only a store in memory has a "capacity"; leave it or "store" out"#,
    ),
    (
        WORKER,
        "layers = [{ layer = \"deduplicate\", store = \"redis://u:hunter2@h/?x=1\" }]",
        "line 4, column 44: the URL is not right: unknown parameter \"x\" in the URL; known are: name, prefix, lease, connect_timeout, timeout, topology, replicas, db, master, cacert, client_cert, client_key",
    ),
    (
        WORKER,
        "layers = [{ layer = \"deduplicate\", store = \"amqp://u:hunter2@h/\" }]",
        "line 4, column 44: the URL is not right: the scheme \"amqp\" is not Redis; use redis://, rediss://, redis+cluster://, redis+sentinel:// or redis+unix://",
    ),
    (
        WORKER,
        "layers = [{ layer = \"deduplicate\", on_store_error = \"panic\" }]",
        r#"line 4, column 53: "on_store_error" must be "handle", or a duration after which they are tried again, such as "30s", not "panic""#,
    ),
    (WORKER, "gates = [\"mail quota\"]", "line 4, column 10: there is no gate \"mail quota\"; add it to [gates]"),
    (
        GATE,
        "workers.a = { queue = \"a\", gates = [\"mails\"] }",
        r#"line 3, column 37: there is no gate "mails"; did you mean "mail"?"#,
    ),
    (
        BROKER,
        "gates.mail = { deliveries = 5 }",
        r#"line 2, column 7: "gate" is missing; known are: kill_switch, rate_limit"#,
    ),
    (
        BROKER,
        "gates.mail = 5",
        r#"line 2, column 14: "mail" must be a table with the kind of the gate, such as { gate = "rate_limit", deliveries = 50 }, not 5"#,
    ),
    (
        BROKER,
        "gates.mail = { gate = \"rate-limit\" }",
        r#"line 2, column 23: there is no gate "rate-limit"; did you mean "rate_limit"?"#,
    ),
    (
        BROKER,
        "gates.mail = { gate = \"rate_limit\", deliveries = 5, per = \"0s\" }",
        r#"line 2, column 59: no time is no rate; write one, such as "1s""#,
    ),
    (
        BROKER,
        "gates.mail = { gate = \"kill_switch\", ratio = 50 }",
        r#"line 2, column 46: a "ratio" is from 0 to 1; half of all is 0.5"#,
    ),
    (
        BROKER,
        "gates.mail = { gate = \"kill_switch\", pause = \"1h\", max_pause = \"1m\" }",
        r#"line 2, column 64: "max_pause" is shorter than "pause"; exchange them"#,
    ),
    (
        BROKER,
        "gates.mail = { gate = \"kill_switch\", max_pause = \"5s\" }",
        r#"line 2, column 50: "max_pause" is shorter than the first pause, which is "10s" unless told; write "pause" too"#,
    ),
    (
        BROKER,
        "supervisor = { backoff = \"2m\" }",
        r#"line 2, column 1: "max_backoff" is shorter than "backoff"; exchange them, or write both"#,
    ),
    (BROKER, "supervisor = { max_restarts = 5 }", r#"line 2, column 31: "max_restarts" must be a table, not 5"#),
    // Variables. Their values are not shown, and a number is no text.
    (
        WORKER,
        "broker = \"${BROKER}\"",
        "line 4, column 10: the environment variable BROKER is not set; set it, or write ${BROKER:-default}",
    ),
    (
        WORKER,
        "deadline = \"${SECRET}\"",
        r#"line 4, column 12: "deadline" must be a duration such as "30s", "5m" or "1h 30m", not what "${SECRET}" stands for"#,
    ),
    (
        WORKER,
        "concurrency = \"${SECRET}\"",
        r#"line 4, column 15: "concurrency" must be a whole number from 1, not what "${SECRET}" stands for"#,
    ),
    (WORKER, "broker = \"${SECRET}\"", "line 4, column 10: there is no broker by that name; known are: main"),
    (WORKER, "deadline = \"$5\"", "line 4, column 12: a '$' that begins no ${NAME}; write $$ for a dollar"),
    // URLs. No part of them is shown.
    (
        "",
        "brokers.main = 5672",
        r#"line 1, column 16: "main" must be a broker's URL, such as "amqp://user:password@host/vhost", not 5672"#,
    ),
    (
        "",
        "brokers.main = \"u:hunter2@host\"",
        "line 1, column 16: the URL is not right: no scheme; a broker's URL looks like amqp://user:password@host/vhost or memory://",
    ),
    (
        "",
        "brokers.main = \"amqp://u:hunter2@h:port/\"",
        "line 1, column 16: the URL is not right: a port must be a number from 1 to 65535; a '/', ':' or '@' in a password is written %2F, %3A, %40",
    ),
    (
        "",
        "brokers.main = \"amqp://u:${SECRET}@h:port/\"",
        "line 1, column 16: the URL is not right: a port must be a number from 1 to 65535; a '/', ':' or '@' in a password is written %2F, %3A, %40",
    ),
    (
        "",
        "brokers.main = \"kafka://u:hunter2@h/\"",
        r#"line 1, column 16: the URL is not right: unknown scheme "kafka"; known are memory, amqp, amqps, redis and rediss"#,
    ),
    (
        WORKER,
        "broker = \"amqp://u:hunter2@h/\"",
        "line 4, column 10: there is no broker a text that is not shown, as it looks like a URL; known are: main",
    ),
    (
        "",
        "\"amqp://u:hunter2@h/\" = 1",
        "line 1, column 1: unknown key a text that is not shown, as it looks like a URL; known are: brokers, topology, publishers, gates, supervisor, workers",
    ),
    // What is no TOML.
    ("", "[brokers", "line 1, column 9: not TOML: unclosed table, expected `]`"),
    (WORKER, "queue = \"other\"", "line 4, column 1: not TOML: duplicate key"),
    ("", "brokers.main = \"amqp://u:hunter2@h/", "line 1, column 36: not TOML: invalid basic string, expected `\"`"),
    (
        "",
        "a = 1 2\nb = = 3\n",
        "line 1, column 5: not TOML: string values must be quoted, expected literal string\nline 2, column 5: not TOML: extra `=`, expected nothing",
    ),
];

fn message(text: &str) -> String {
    let loader = Loader::new().variables(|name| (name == "SECRET").then(|| "hunter2".to_owned()));
    loader.parse(text).map_or_else(|error| error.to_string(), |config| format!("no mistake: {config:?}"))
}

#[test]
fn each_is_told_with_its_place_and_what_to_do() {
    let mut wrong = Vec::new();
    for (before, mistake, expected) in MISTAKES {
        let message = message(&format!("{before}{mistake}"));
        if message != *expected {
            wrong.push(format!("{mistake}\n    expected {expected}\n    but got  {message}"));
        }
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), MISTAKES.len(), wrong.join("\n"));
}

#[test]
fn what_stands_before_a_mistake_is_none() {
    for (before, ..) in MISTAKES {
        let message = message(before);
        assert!(message.starts_with("no mistake"), "{message}");
    }
}

#[test]
fn all_are_told_in_the_order_of_the_file() {
    let text = r#"
brokers.main = "${NOPE}"
[workers.a]
queue = "a"
deadline = "soon"
broker = "mian"
[workers.b]
max_time = "never"
"#;
    let error = Loader::new().variables(|_| None).parse(text).expect_err("mistakes");
    let lines: Vec<_> = error.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 5, 6, 7, 8], "{error}");
    let short = swarrot::Error::from(error);
    assert_eq!(
        short.to_string(),
        "configure: line 2, column 16: the environment variable NOPE is not set; set it, or write ${NOPE:-default}; and 4 more mistakes"
    );
}

#[test]
fn a_place_counts_lines_and_characters() {
    for (text, expected) in [
        ("\u{feff}x = 1", "line 1, column 1: "),
        ("\r\n\r\n  x = 1", "line 3, column 3: "),
        ("# é\n\"é\" = { } # é\nx = 1", "line 2, column 1: "),
        ("brokers = { \"é\" = \"memory://\", b = 1 }", "line 1, column 36: "),
        ("brokers.a = \"\"\"\n\n5\"\"\"\nx = 1", "line 1, column 13: "),
    ] {
        let message = message(text);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn files_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = Loader::new().load(dir.path().join("swarrot.toml")).expect_err("no file").to_string();
    assert!(missing.contains("swarrot.toml: cannot be read: "), "{missing}");
    for (bytes, expected) in
        [(&b"x = 1"[..], "swarrot.toml:1:1: unknown key \"x\""), (b"\xff", "swarrot.toml: not UTF-8 text")]
    {
        let file = dir.path().join("swarrot.toml");
        std::fs::write(&file, bytes).expect("a file");
        let message = Loader::new().load(&file).expect_err("a mistake").to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
}
