//! What is wrong is told in one line, with the right exit code and no password.

use crate::support::{Place, on_brokers, program, run};

on_brokers!(an_unknown_queue, refused_credentials, logs_without_the_password, another_protocol);

const COMMANDS: [&[&str]; 6] = [
    &["publish", "nowhere", "body"],
    &["work", "nowhere", "--exec", "true"],
    &["count", "nowhere"],
    &["peek", "nowhere"],
    &["get", "nowhere"],
    &["purge", "nowhere", "--yes"],
];

fn an_unknown_queue(place: &Place) {
    for command in COMMANDS {
        place.run(command).expect_line(1, &["nowhere"]);
    }
}

fn refused_credentials(place: &Place) {
    let (scheme, rest) = place.url.split_once("://").expect("a URL");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let url = format!("{scheme}://nobody:hunter2@{host}");
    let ran = run(&["count", "q", "--url", &url]).expect_line(1, &["refused", "password", "correct them in the URL"]);
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    assert!(ran.out.is_empty(), "{ran:?}");
}

/// Neither as text nor as the numbers of its bytes, however much is logged.
fn logs_without_the_password(place: &Place) {
    let (scheme, rest) = place.url.split_once("://").expect("a URL");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let url = format!("{scheme}://nobody:hunter2@{host}");
    let (text, numbers) = ("hunter2", "104, 117, 110, 116, 101, 114, 50");
    for (flags, variable) in [(&["-vvv"][..], ""), (&[], "trace"), (&["-vvv"], "lapin=nonsense")] {
        let mut command = program();
        command.args(["count", "q", "--url", &url]).args(flags);
        if !variable.is_empty() {
            command.env("SWARROT_LOG", variable);
        }
        let ran = command.output().expect("it runs");
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(place.is_redis() || err.lines().count() > 1, "it logs: {err}");
        assert!(!err.contains(text) && !err.contains(numbers), "{variable}: {err}");
    }
}

#[test]
fn a_malformed_url() {
    for (url, word) in [
        ("amqp:guest:hunter2@h", "scheme"),
        ("amqp://guest:hunter2@h:port/", "port"),
        ("kafka://guest:hunter2@h/", "kafka"),
        ("amqp://guest:hunter2@h/?heartbaet=3", "heartbaet"),
        ("redis://guest:hunter2@h/x", ""),
    ] {
        for command in COMMANDS {
            let ran = run(&[command, &["--url", url]].concat());
            if command[0] == "work" {
                // All that follows --exec is the command's.
                ran.expect_line(2, &["SWARROT_URL"]);
                continue;
            }
            let ran = ran.expect_line(2, &[word]);
            assert!(!ran.err.contains("hunter2") && ran.out.is_empty(), "{ran:?}");
        }
    }
}

#[test]
fn no_broker_there() {
    let nothing = ["127.0.0.1:1", "nothing listens there", "start the server"];
    let unknown = ["nosuchhost.invalid", "the host's name is not known", "correct it in the URL"];
    for (url, words) in [
        ("amqp://guest:hunter2@127.0.0.1:1/", nothing),
        ("redis://u:hunter2@127.0.0.1:1/", nothing),
        ("amqps://guest:hunter2@nosuchhost.invalid/", unknown),
        ("rediss://u:hunter2@nosuchhost.invalid/", unknown),
    ] {
        let ran = run(&["count", "q", "--url", url]).expect_line(1, &words);
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
    }
}

/// What listens there speaks something else.
fn another_protocol(place: &Place) {
    let (_, rest) = place.url.split_once("://").expect("a URL");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let port = host.split(['/', '?']).next().expect("host and port");
    let (url, words) = if place.is_redis() {
        (format!("rediss://u:hunter2@{port}/?connect_timeout=3s"), ["did not answer in time", "check host, port"])
    } else {
        (format!("redis://u:hunter2@{port}/"), ["the connection broke", "a server of Redis"])
    };
    let ran = run(&["count", "q", "--url", &url]).expect_line(1, &words);
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    if place.is_redis() {
        let url = format!("redis://{port}/99");
        run(&["count", "q", "--url", &url]).expect_line(2, &["no such database", "in the URL's path"]);
    } else {
        run(&["count", "q", "--url", &format!("amqps://u:hunter2@{port}/")])
            .expect_line(1, &["TLS failed", "the port"]);
        let url = place.url.trim_end_matches('/').to_owned() + "/nosuchhost";
        run(&["count", "q", "--url", &url]).expect_line(1, &["not found", "create the virtual host"]);
    }
}

#[test]
fn arguments_that_make_no_sense() {
    for (args, word) in [
        (&["peek"][..], "QUEUE"),
        (&["cuont", "q"], "count"),
        (&["publish", "q", "b", "--rate", "0"], "rate"),
        (&["publish", "q", "b", "-H", "x"], "name=text"),
        (&["publish", "--exchange", "e", "b", "c"], "--key"),
        (&["work", "q"], "--exec"),
        (&["work", "q", "--exec", "no-such-program-here"], "no-such-program-here"),
        (&["work", "q", "--exec", "echo hi"], "sh -c"),
        (&["work", "q", "--retry", "30m..30s", "--exec", "true"], "grow"),
        (&["count", "q"], "SWARROT_URL"),
    ] {
        run(args).expect_line(2, &[word]);
    }
}
