//! The program itself: it starts, works, and stops cleanly on SIGTERM.

#![cfg(unix)]

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

#[path = "support/smtp.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod smtp;

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_password-reset"));
    for variable in ["BROKER_URL", "QUEUE_PREFIX", "RETRY_DELAYS", "MAIL_TIMEOUT", "CONCURRENCY", "RUST_LOG"] {
        program.env_remove(variable);
    }
    program.env("HTTP_ADDR", "127.0.0.1:0").stdin(Stdio::null()).kill_on_drop(true);
    program
}

#[tokio::test]
async fn sigterm_ends_it_with_a_report_and_no_token_in_the_log() {
    let (port, mailbox) = (smtp::Port::new(), smtp::Mailbox::new());
    let smtp_url = format!("smtp://{}", port.address());
    let _server = port.open(mailbox.clone());
    let mut process = program()
        .envs([("SMTP_URL", smtp_url.as_str()), ("RUST_LOG", "debug")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = BufReader::new(process.stdout.take().expect("piped"));
    let mut log = process.stderr.take().expect("piped");
    let log = tokio::spawn(async move {
        let mut text = String::new();
        log.read_to_string(&mut text).await.map(|_| text)
    });
    let mut line = String::new();
    output.read_line(&mut line).await.expect("a line");
    let url = line.trim_end().strip_prefix("listening on ").expect("it says where it listens");

    let request = reqwest::Client::new().post(format!("{url}/password-resets"));
    let answer = request.json(&json!({ "email": "ada@example.org" })).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    mailbox.until("the mail", |seen| !seen.arrived.is_empty()).await;

    let id = process.id().expect("it runs").to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill runs");
    assert!(killed.success());
    let status = timeout(Duration::from_secs(20), process.wait()).await.expect("it ends").expect("a status");
    let mut report = String::new();
    output.read_to_string(&mut report).await.expect("text");
    assert!(status.success(), "{status}");
    assert!(report.contains("SIGTERM") && report.contains("acked"), "{report}");

    let text = &mailbox.arrived()[0].text;
    let (_, token) = text.split_once("/password-resets/").expect("a link");
    let token = token.lines().next().expect("a token").trim();
    assert_eq!(token.len(), 36, "{text}");
    let log = log.await.expect("no panic").expect("text");
    assert!(log.contains("mail sent") && !log.contains(token), "{log}");
    assert!(!log.contains("ada@example.org"), "{log}");
}

#[tokio::test]
async fn what_it_cannot_start_with_is_said_in_one_line() {
    for (variable, value, said) in [
        ("SMTP_URL", "nonsense:hunter2", "SMTP_URL is malformed"),
        ("BROKER_URL", "kafka://user:hunter2@host", "unknown scheme \"kafka\""),
        ("RETRY_DELAYS", "soon", "RETRY_DELAYS: \"soon\""),
    ] {
        let output = program().env(variable, value).output().await.expect("it runs");
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && output.stdout.is_empty(), "{error}");
        assert!(error.lines().count() == 1 && error.contains(said) && !error.contains("hunter2"), "{error}");
    }
}
