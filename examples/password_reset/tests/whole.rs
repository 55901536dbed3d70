//! The whole example, over real HTTP and SMTP: on RabbitMQ, and the same on the memory backend.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::json;

use self::support::Whole;

macro_rules! trials {
    ($($name:ident),* $(,)?) => {{
        let mut trials = Vec::new();
        for (backend, url) in [("memory", memory as fn() -> String), ("amqp", amqp as fn() -> String)] {
            $(trials.push(Trial::test(format!("{backend}::{}", stringify!($name)), move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
                runtime.block_on($name(&url()));
                Ok(())
            }));)*
        }
        trials
    }};
}

fn main() -> ExitCode {
    let trials = trials![
        every_mail_arrives_once_after_the_mail_server_was_down,
        resets_before_newsletters,
        a_refusal_is_tried_later_and_later_then_parked_with_the_answer,
        a_refusal_for_good_is_parked_at_once,
        bad_requests_are_told,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn memory() -> String {
    "memory://".to_owned()
}

fn amqp() -> String {
    std::env::var("SWARROT_TEST_AMQP_URL")
        .expect("SWARROT_TEST_AMQP_URL names a RabbitMQ; `cargo xtask test` starts one")
}

async fn every_mail_arrives_once_after_the_mail_server_was_down(url: &str) {
    let mut whole = Whole::start(url, &[300, 600, 1200, 2400, 4800, 9600], 8).await;
    let work = whole.start_worker().await;
    let mut expected = BTreeMap::new();
    for n in 0..5 {
        let email = format!("reset{n}@example.org");
        let (status, answer) = whole.post("/password-resets", &json!({ "email": email })).await;
        assert_eq!(status, 202, "{answer}");
        expected.insert(email, 1);
    }
    let emails: Vec<_> = (0..20).map(|n| format!("news{n}@example.org")).collect();
    expected.extend(emails.iter().map(|email| (email.clone(), 1)));
    let letter = json!({ "emails": emails, "subject": "News", "text": "There is news." });
    let (status, answer) = whole.post("/newsletters", &letter).await;
    assert_eq!((status, answer["accepted"].as_u64()), (202, Some(20)), "{answer}");

    // Long enough for every mail to fail at least once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(whole.mailbox.arrived().len(), 0, "there is no mail server yet");
    whole.start_mail_server().await;
    whole.mails(25).await;
    let report = work.stop().await;
    assert_eq!((report.counts.acked, report.counts.rejected), (25, 0), "{report}");
    assert!(report.counts.retried >= 25, "each failed before: {report}");

    let mut arrived = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for letter in whole.mailbox.arrived() {
        *arrived.entry(letter.to.clone()).or_insert(0) += 1;
        assert!(ids.insert(letter.message_id().to_owned()), "each mail has an id of its own");
        if letter.to.starts_with("reset") {
            assert!(letter.text.contains("https://example.org/password-resets/"), "{}", letter.text);
        }
    }
    assert_eq!(arrived, expected);
    whole.end().await;
}

async fn resets_before_newsletters(url: &str) {
    let mut whole = Whole::start(url, &[1000], 1).await;
    whole.start_mail_server().await;
    let emails: Vec<_> = (0..20).map(|n| format!("news{n}@example.org")).collect();
    let (status, _) = whole.post("/newsletters", &json!({ "emails": emails, "subject": "News", "text": "…" })).await;
    assert_eq!(status, 202);
    for n in 0..3 {
        let (status, _) = whole.post("/password-resets", &json!({ "email": format!("reset{n}@example.org") })).await;
        assert_eq!(status, 202);
    }
    let work = whole.start_worker().await;
    whole.mails(23).await;
    assert_eq!(work.stop().await.counts.acked, 23);
    let order: Vec<_> = whole.mailbox.arrived().into_iter().map(|letter| letter.to).collect();
    // Both queues are opened one after the other: a newsletter may slip through before the resets are there.
    let last_reset = order.iter().rposition(|to| to.starts_with("reset")).expect("resets");
    assert!(last_reset <= 4, "{order:?}");
    whole.end().await;
}

async fn a_refusal_is_tried_later_and_later_then_parked_with_the_answer(url: &str) {
    let mut whole = Whole::start(url, &[200, 600, 1800], 4).await;
    whole.start_mail_server().await;
    let work = whole.start_worker().await;
    whole.post("/password-resets", &json!({ "email": "busy@example.org" })).await;
    let parked = whole.parked(&whole.queues.resets, 1).await;
    let report = work.stop().await;
    assert_eq!((report.counts.retried, report.counts.rejected, report.counts.acked), (3, 1, 0), "{report}");
    let failure = parked[0].message().failure().expect("a dead letter says why");
    assert_eq!(failure.attempts, 4);
    let reason = failure.reason.expect("a reason");
    assert!(reason.contains("4.3.0 greylisted, try later"), "{reason}");

    let tries = whole.mailbox.refused("busy@example.org");
    let pauses: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 3);
    for (pause, delay) in pauses.iter().zip([200, 600, 1800]) {
        assert!(*pause >= Duration::from_millis(delay), "{pauses:?}");
    }
    assert!(pauses.is_sorted(), "later and later: {pauses:?}");
    whole.end().await;
}

async fn a_refusal_for_good_is_parked_at_once(url: &str) {
    let mut whole = Whole::start(url, &[200, 600, 1800], 4).await;
    whole.start_mail_server().await;
    let work = whole.start_worker().await;
    whole.post("/password-resets", &json!({ "email": "nobody@example.org" })).await;
    whole.post("/password-resets", &json!({ "email": "ada@example.org" })).await;
    let parked = whole.parked(&whole.queues.resets, 1).await;
    whole.mails(1).await;
    let report = work.stop().await;
    assert_eq!((report.counts.retried, report.counts.rejected, report.counts.acked), (0, 1, 1), "{report}");
    let failure = parked[0].message().failure().expect("a dead letter says why");
    assert_eq!(failure.attempts, 1);
    let reason = failure.reason.expect("a reason");
    assert!(reason.contains("5.1.1 no such mailbox here"), "{reason}");
    assert_eq!(whole.mailbox.refused("nobody@example.org").len(), 1);
    whole.end().await;
}

async fn bad_requests_are_told(url: &str) {
    let whole = Whole::start(url, &[200], 1).await;
    let (status, answer) = whole.post("/password-resets", &json!({ "email": "not an address" })).await;
    assert_eq!(status, 422);
    assert!(answer["error"].as_str().is_some_and(|e| e.starts_with("not a mail address")), "{answer}");
    let letter = json!({ "emails": ["ada@example.org", "nope"], "subject": "s", "text": "t" });
    let (status, answer) = whole.post("/newsletters", &letter).await;
    assert_eq!((status, answer["accepted"].as_u64()), (207, Some(1)), "{answer}");
    assert_eq!(answer["refused"][0]["email"], "nope");

    // The broker does not take it: nothing was promised.
    whole.broker.delete(&whole.queues.resets).await.expect("deletes");
    let (status, answer) = whole.post("/password-resets", &json!({ "email": "ada@example.org" })).await;
    assert_eq!(status, 500, "{answer}");
    whole.end().await;
}
