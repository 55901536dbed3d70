//! The whole example, over real HTTP and SMTP: on RabbitMQ, and the same on Redis and on the memory backend.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};

use self::support::Whole;
use self::support::smtp::Seen;

macro_rules! trials {
    ($($name:ident),* $(,)?) => {{
        let mut trials = Vec::new();
        for (backend, url) in [("memory", memory as fn() -> String), ("amqp", amqp), ("redis", redis)] {
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
        a_refusal_of_the_sender_is_tried_again,
        a_mail_server_that_says_nothing_holds_nothing_up,
        a_late_answer_is_nobody_elses,
        bad_requests_are_told,
        what_the_broker_does_not_take_was_not_promised,
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

fn redis() -> String {
    std::env::var("SWARROT_TEST_REDIS_URL")
        .expect("SWARROT_TEST_REDIS_URL names a Redis; `cargo xtask test` starts one")
}

async fn every_mail_arrives_once_after_the_mail_server_was_down(url: &str) {
    let mut whole = Whole::start(url, &[300, 600, 1200, 2400, 4800, 9600, 19200], 8).await;
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

    work.retried(25).await;
    assert_eq!(whole.mailbox.receivers().len(), 0, "there is no mail server yet");
    whole.start_mail_server();
    whole.mails(25).await;
    let report = work.stop().await;
    assert_eq!((report.counts.acked, report.counts.rejected), (25, 0), "{report}");

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
    // Like a real one, it takes longer for a mail than the broker takes to deliver the next.
    whole.mailbox.pace = Duration::from_millis(100);
    whole.start_mail_server();
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
    let order = whole.mailbox.receivers();
    let last_reset = order.iter().rposition(|to| to.starts_with("reset")).expect("resets");
    // The worker opens the queues one after the other: while it waits for both, a newsletter may be there first.
    assert!(last_reset <= 3, "{order:?}");
    whole.end().await;
}

async fn a_refusal_is_tried_later_and_later_then_parked_with_the_answer(url: &str) {
    let mut whole = Whole::start(url, &[200, 600, 1800], 4).await;
    whole.start_mail_server();
    let work = whole.start_worker().await;
    whole.post("/password-resets", &json!({ "email": "busy@example.org" })).await;
    let parked = whole.parked(&whole.queues.resets, 1).await;
    let report = work.stop().await;
    assert_eq!((report.counts.retried, report.counts.rejected, report.counts.acked), (3, 1, 0), "{report}");
    let failure = parked[0].message().failure().expect("a dead letter says why");
    assert_eq!(failure.attempts, 4);
    let reason = failure.reason.expect("a reason");
    assert!(reason.contains("451 4.3.0 greylisted, try later"), "{reason}");

    let tries = whole.mailbox.tries("busy@example.org");
    let pauses: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 3);
    // A little shorter at random, by half at most.
    for (pause, delay) in pauses.iter().zip([200, 600, 1800]) {
        assert!(*pause >= Duration::from_millis(delay / 2), "{pauses:?}");
    }
    assert!(pauses.is_sorted(), "later and later: {pauses:?}");
    whole.end().await;
}

async fn a_refusal_for_good_is_parked_at_once(url: &str) {
    let mut whole = Whole::start(url, &[200, 600, 1800], 4).await;
    whole.start_mail_server();
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
    assert!(reason.contains("550 5.1.1 no such mailbox here"), "{reason}");
    assert_eq!(whole.mailbox.tries("nobody@example.org").len(), 1);
    whole.end().await;
}

/// What is wrong with us, such as our password, is no reason to give up on a mail.
async fn a_refusal_of_the_sender_is_tried_again(url: &str) {
    let mut whole = Whole::start(url, &[200, 600, 1800], 1).await;
    whole.mailbox.ask_for_credentials(2);
    whole.start_mail_server();
    let work = whole.start_worker().await;
    whole.post("/password-resets", &json!({ "email": "ada@example.org" })).await;
    whole.mails(1).await;
    let report = work.stop().await;
    assert_eq!((report.counts.retried, report.counts.rejected, report.counts.acked), (2, 0, 1), "{report}");
    whole.end().await;
}

async fn a_mail_server_that_says_nothing_holds_nothing_up(url: &str) {
    let mut whole = Whole::start(url, &[200, 600, 1800], 1).await;
    whole.start_mail_server();
    whole.post("/password-resets", &json!({ "email": "stuck@example.org" })).await;
    whole.post("/password-resets", &json!({ "email": "ada@example.org" })).await;
    let work = whole.start_worker().await;
    whole.mails(2).await;
    let report = work.stop().await;
    assert_eq!((report.counts.retried, report.counts.acked), (1, 2), "{report}");
    whole.end().await;
}

/// The answer to a mail that was given up on must not pass for the answer to another.
async fn a_late_answer_is_nobody_elses(url: &str) {
    let mut whole = Whole::start(url, &[3000, 3000], 1).await;
    whole.start_mail_server();
    let work = whole.start_worker().await;
    whole.post("/password-resets", &json!({ "email": "slow@example.org" })).await;
    work.retried(1).await;
    whole.post("/password-resets", &json!({ "email": "full@example.org" })).await;
    let arrived = |to: &'static str| move |seen: &Seen| seen.arrived.iter().any(|letter| letter.to == to);
    whole.mailbox.until("the mail that was refused at first", arrived("full@example.org")).await;
    whole.mailbox.until("the second try", |seen| seen.tries("slow@example.org").len() == 2).await;
    let report = work.stop().await;
    assert_eq!((report.counts.retried, report.counts.acked), (2, 2), "{report}");
    // It was taken, but said so too late: sent again, it can be told by its id.
    let twice: Vec<_> = whole.mailbox.arrived().into_iter().filter(|letter| letter.to == "slow@example.org").collect();
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0].message_id(), twice[1].message_id());
    whole.end().await;
}

async fn bad_requests_are_told(url: &str) {
    let whole = Whole::start(url, &[200], 1).await;
    let (status, answer) = whole.post("/password-resets", &json!({ "email": "not an address" })).await;
    assert_eq!(status, 422);
    assert!(answer["error"].as_str().is_some_and(|e| e.starts_with("not a mail address")), "{answer}");
    let (status, answer) = whole.post("/password-resets", &json!({ "mail": "ada@example.org" })).await;
    assert_eq!(status, 422);
    assert!(answer["error"].as_str().is_some_and(|e| e.contains("missing field `email`")), "{answer}");

    let letter = |emails: Value| json!({ "emails": emails, "subject": "s", "text": "t" });
    let (status, answer) = whole.post("/newsletters", &letter(json!(["ada@example.org", "nope"]))).await;
    assert_eq!((status, answer["accepted"].as_u64()), (207, Some(1)), "{answer}");
    assert_eq!(answer["refused"][0]["email"], "nope");
    for emails in [json!([]), json!(["nope"]), json!(vec!["ada@example.org"; 101])] {
        let (status, answer) = whole.post("/newsletters", &letter(emails)).await;
        assert_eq!(status, 422, "{answer}");
    }
    whole.end().await;
}

async fn what_the_broker_does_not_take_was_not_promised(url: &str) {
    let whole = Whole::start(url, &[200], 1).await;
    for queue in [&whole.queues.resets, &whole.queues.newsletters] {
        whole.broker.delete(queue).await.expect("deletes");
    }
    let (status, answer) = whole.post("/password-resets", &json!({ "email": "ada@example.org" })).await;
    assert_eq!((status, &answer["error"]), (503, &json!(NOT_TAKEN)));
    let letter = json!({ "emails": ["ada@example.org"], "subject": "s", "text": "t" });
    let (status, answer) = whole.post("/newsletters", &letter).await;
    assert_eq!((status, &answer["refused"]), (503, &json!([{ "email": "ada@example.org", "reason": NOT_TAKEN }])));
    whole.end().await;
}

const NOT_TAKEN: &str = "the mail cannot be taken at the moment; try again later";
