//! Debug logs that come out only if a delivery fails.

use std::fmt;
use std::future::pending;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use swarrot::layer::{FingersCrossed, Retry, Timeout, Trace};
use swarrot::prelude::*;
use tokio::time::{Instant, sleep};
use tracing::{Instrument as _, Level, Subscriber, debug, debug_span, info, info_span, trace, warn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self as formatter, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, registry};

use crate::support::{Bench, SECOND, listen};

/// What was written, in lines.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    /// The lines with this in them.
    fn with(&self, text: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(text)).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Seconds of tokio's clock, which the tests stop.
#[derive(Clone, Copy)]
struct Seconds(Instant);

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}s", self.0.elapsed().as_secs())
    }
}

/// A formatter whose lines are alike from run to run.
fn text<S, W>(start: Instant, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    formatter::layer().with_ansi(false).with_timer(Seconds(start)).with_writer(writer)
}

fn own(meta: &tracing::Metadata<'_>) -> bool {
    meta.target().starts_with("observe") || meta.target().starts_with("swarrot::")
}

/// A subscriber with crossed fingers, for this thread.
macro_rules! crossed {
    ($written:ident $(, $option:ident($value:expr))*) => {
        let $written = Written::default();
        let start = Instant::now();
        let crossed = FingersCrossed::new($written.clone())$(.$option($value))*.format(|writer| text(start, writer));
        let filter = tracing_subscriber::filter::filter_fn(own);
        let _guard = listen(registry().with(crossed.with_filter(filter)));
    };
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_comes_out() {
    crossed!(written);
    let bench = Bench::new().await;
    for body in ["fine", "retry", "error", "panic", "reject", "slow"] {
        bench.send(Message::new(body)).await;
    }
    let handler = async |Attempt(attempt): Attempt, body: String| {
        debug!("{body} begins");
        sleep(SECOND).await;
        trace!("{body} goes on");
        match body.as_str() {
            "retry" if attempt == 1 => return Ok(Outcome::retry(SECOND)),
            "error" => return Err(BoxError::from("no")),
            "panic" => panic!("boom"),
            "reject" => return Ok(Outcome::reject("no")),
            "slow" => pending::<()>().await,
            _ => {}
        }
        Ok(Outcome::Ack)
    };
    let worker = bench.worker().await.layer(Trace::new()).layer(Timeout::new(10 * SECOND)).max_messages(7);
    worker.run(handler).await.unwrap();
    assert!(written.with("fine").is_empty());
    for body in ["error", "panic", "reject", "slow", "retry"] {
        assert_eq!(written.with(body).len(), 2, "{body}, once for each event: {:?}", written.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn it_looks_as_it_would_have_looked() {
    let (kept, plain) = (Written::default(), Written::default());
    let start = Instant::now();
    let crossed = FingersCrossed::new(kept.clone()).format(|writer| text(start, writer));
    let both = crossed.and_then(text(start, plain.clone())).with_filter(tracing_subscriber::filter::filter_fn(own));
    let _guard = listen(registry().with(both));
    let bench = Bench::new().await;
    bench.send(Message::new("").id("the-id")).await;
    let handler = async || {
        debug!("first");
        sleep(SECOND).await;
        let nested = async {
            info!(n = 1, "at once");
            sleep(SECOND).await;
            trace!("last");
        };
        nested.instrument(debug_span!("nested", depth = 1)).await;
        Err::<(), _>("no")
    };
    bench.worker().await.layer(Trace::new()).max_messages(1).run(handler).await.unwrap();
    let mut kept = kept.lines();
    assert!(kept[0].contains("at once"), "{kept:?}");
    assert!(kept[1].starts_with("0s DEBUG") && kept[2].starts_with("2s TRACE"), "the times when it happened: {kept:?}");
    assert!(kept[2].contains("the-id") && kept[2].contains("nested{depth=1}"), "{kept:?}");
    kept.sort();
    let mut plain = plain.lines();
    plain.sort();
    assert_eq!(kept, plain);
}

#[tokio::test(start_paused = true)]
async fn what_is_important_passes_at_once() {
    crossed!(written, pass(Level::WARN));
    let bench = Bench::new().await;
    bench.fill(1).await;
    info!("of no delivery");
    warn!("important, of no delivery");
    let watch = written.clone();
    let handler = move || {
        let watch = watch.clone();
        async move {
            info!("kept");
            warn!("important");
            watch.lines().len()
        }
    };
    let seen = Arc::new(Mutex::new(0));
    let note = Arc::clone(&seen);
    let handler = move || {
        let (lines, note) = (handler(), Arc::clone(&note));
        async move { *note.lock().unwrap() = lines.await }
    };
    bench.worker().await.layer(Trace::new()).max_messages(1).run(handler).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), 2, "before the handler's end");
    assert_eq!(written.with("important").len(), 2);
    assert_eq!(written.lines().len(), 2, "{:?}", written.lines());
}

/// Many at once, each with nested spans and a task of its own; those that fail, and no others, tell all.
async fn many_at_once(spawned: bool) {
    crossed!(written);
    let bench = Bench::new().await;
    bench.fill(60).await;
    let handler = async |body: String| {
        debug!("of {body}: begins");
        let elsewhere = async {
            sleep(SECOND).await;
            debug!("of {body}: elsewhere");
        };
        let nested = async {
            sleep(SECOND).await;
            debug!("of {body}: nested");
        };
        let task = {
            let body = body.clone();
            let task = async move {
                sleep(SECOND).await;
                debug!("of {body}: on a task");
            };
            tokio::spawn(task.in_current_span())
        };
        tokio::join!(elsewhere, nested.instrument(info_span!("nested")));
        task.await?;
        if body.parse::<u32>()? % 3 == 0 { Err(BoxError::from("no")) } else { Ok(()) }
    };
    let worker = bench.worker().await.concurrency(20).layer(Trace::new()).max_messages(60);
    let worker = if spawned { worker.spawned().parallelism(2) } else { worker };
    worker.run(handler).await.unwrap();
    for n in 0..60 {
        let lines = written.with(&format!(" of {n}: "));
        assert_eq!(lines.len(), if n % 3 == 0 { 4 } else { 0 }, "{n}: {lines:?}");
        assert!(lines.is_empty() || lines[0].contains("begins"), "in order: {lines:?}");
    }
    assert_eq!(written.lines().len(), 20 * 4);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_in_slots() {
    many_at_once(false).await;
}

#[tokio::test(start_paused = true)]
async fn many_at_once_on_tasks() {
    many_at_once(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_a_failure() {
    for spawned in [false, true] {
        crossed!(written);
        let bench = Bench::new().await;
        bench.fill(1).await;
        let handler = async || {
            debug!("waits");
            pending::<()>().await;
        };
        let worker = bench.worker().await.layer(Trace::new()).max_time(SECOND).deadline(SECOND);
        let worker = if spawned { worker.spawned() } else { worker };
        worker.run(handler).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(written.with("waits").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn late_events_share_the_fate_of_their_delivery() {
    crossed!(written);
    let bench = Bench::new().await;
    bench.send(Message::new("fine")).await;
    bench.send(Message::new("bad")).await;
    let tasks = Arc::new(Mutex::new(Vec::new()));
    let spawned = Arc::clone(&tasks);
    let handler = move |body: String| {
        let spawned = Arc::clone(&spawned);
        async move {
            let late = {
                let body = body.clone();
                async move {
                    sleep(10 * SECOND).await;
                    debug!("late, of {body}");
                }
            };
            spawned.lock().unwrap().push(tokio::spawn(late.in_current_span()));
            if body == "bad" { Err("no") } else { Ok(()) }
        }
    };
    bench.worker().await.layer(Trace::new()).max_messages(2).run(handler).await.unwrap();
    assert!(written.lines().is_empty());
    let ended = std::mem::take(&mut *tasks.lock().unwrap());
    for task in ended {
        task.await.unwrap();
    }
    assert_eq!(written.lines().len(), 1);
    assert_eq!(written.with("late, of bad").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_is_said() {
    crossed!(written, max_bytes(NonZeroUsize::new(2000).unwrap()));
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async || {
        (0..1000).for_each(|n| debug!("event {n}"));
        Err::<(), _>("no")
    };
    bench.worker().await.layer(Trace::new()).max_messages(1).run(handler).await.unwrap();
    let lines = written.lines();
    let kept = written.with("event ").len();
    assert!(
        lines[0].contains("DEBUG") && lines[0].contains("earlier events of this delivery were cut"),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains(&format!("events={}", 1000 - kept)) && lines[0].contains("bytes="), "{}", lines[0]);
    assert!(lines[0].contains("process{"), "it is of the delivery: {}", lines[0]);
    assert!(lines.last().unwrap().contains("event 999"), "the last are kept");
    let bytes: usize = lines[1..].iter().map(|line| line.len() + 1).sum();
    assert!(kept > 5 && bytes <= 2000, "{kept} events, {bytes} bytes");
    assert_eq!(lines.len(), kept + 1);
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_never_end_stay_within_the_total() {
    crossed!(written, max_total_bytes(NonZeroUsize::new(10_000).unwrap()));
    let bench = Bench::new().await;
    bench.fill(50).await;
    let handler = async |body: String| {
        for _ in 0..1000 {
            sleep(SECOND).await;
            debug!("still at it, {body}");
        }
    };
    let worker = bench.worker().await.concurrency(50).layer(Trace::new()).max_time(100 * SECOND).deadline(SECOND);
    worker.run(handler).await.unwrap();
    let bytes: usize = written.with("still at it").iter().map(|line| line.len() + 1).sum();
    assert!(bytes > 5_000 && bytes <= 10_000, "{bytes} bytes");
    assert!(!written.with("were cut").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_span_that_closes_without_an_end_has_failed() {
    crossed!(written);
    info_span!(target: "swarrot::process", "process", swarrot.outcome = tracing::field::Empty)
        .in_scope(|| debug!("lost"));
    assert_eq!(written.with("lost").len(), 1);
    info_span!("process").in_scope(|| debug!("another's"));
    assert!(written.with("another's").is_empty(), "only the layer's own spans count");
}

#[tokio::test(start_paused = true)]
async fn a_retry_within_one_delivery_is_one_story() {
    crossed!(written);
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |Attempt(attempt): Attempt| {
        debug!("attempt {attempt}");
        if attempt < 3 { Err("no") } else { Ok(()) }
    };
    let worker = bench.worker().await.layer(Trace::new()).layer(Retry::fixed(SECOND).attempts(5)).max_messages(3);
    worker.run(handler).await.unwrap();
    let lines: Vec<_> =
        written.with("attempt ").iter().map(|line| line.split_once("attempt ").unwrap().1.to_owned()).collect();
    assert_eq!(lines, ["1", "2"], "each attempt is a delivery, and the last went well");
}

#[tokio::test(start_paused = true)]
async fn two_of_them_keep_for_themselves() {
    let (first, second) = (Written::default(), Written::default());
    let start = Instant::now();
    let third = Written::default();
    let json = FingersCrossed::new(second.clone()).pass(Level::ERROR);
    let json = json.format(|writer| formatter::layer().json().with_writer(writer));
    let subscriber = registry()
        .with(FingersCrossed::new(first.clone()).format(|writer| text(start, writer)))
        .with(json)
        .with(FingersCrossed::new(third.clone()).format(|writer| text(start, writer)));
    let _guard = listen(subscriber);
    let bench = Bench::new().await;
    bench.send(Message::new("fine")).await;
    bench.send(Message::new("bad")).await;
    let handler = async |body: String| {
        info!("info of {body}");
        debug!("debug of {body}");
        if body == "bad" { Err("no") } else { Ok(()) }
    };
    bench.worker().await.layer(Trace::new()).max_messages(2).run(handler).await.unwrap();
    for text in [&first, &third] {
        assert_eq!(
            (text.with("info of").len(), text.with("debug of fine").len(), text.with("debug of bad").len()),
            (2, 0, 1)
        );
    }
    let json: Vec<_> = second.with(" of ");
    assert_eq!(json.len(), 2, "{json:?}");
    assert!(
        json.iter().all(|line| line.starts_with('{') && line.ends_with('}') && line.contains("of bad")),
        "{json:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_field_that_logs_while_it_is_formatted_does_no_harm() {
    #[derive(Clone, Copy)]
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            warn!("from within");
            f.write_str("chatty")
        }
    }
    struct Broken;
    impl fmt::Debug for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text")
        }
    }
    crossed!(written);
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async || {
        debug!(field = ?Chatty, "outer");
        let broken = std::panic::catch_unwind(|| debug!(field = ?Broken, "never formatted"));
        assert!(broken.is_err());
        debug!("after");
        info!("passes all the same");
        Err::<(), _>("no")
    };
    bench.worker().await.layer(Trace::new()).max_messages(1).run(handler).await.unwrap();
    assert_eq!(written.with("outer").len(), 1, "{:?}", written.lines());
    assert_eq!((written.with("after").len(), written.with("passes all the same").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_do_not_mix_their_events() {
    let written = Written::default();
    let crossed =
        FingersCrossed::new(written.clone()).format(|writer| formatter::layer().with_ansi(false).with_writer(writer));
    let dispatch = tracing::Dispatch::new(registry().with(crossed));
    let deliveries: Vec<_> = (0..200)
        .map(|n| {
            let dispatch = dispatch.clone();
            tokio::task::spawn_blocking(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    let span =
                        info_span!(target: "swarrot::process", "process", swarrot.outcome = tracing::field::Empty);
                    span.in_scope(|| {
                        for event in 0..20 {
                            debug!("of {n}: {event}");
                            if event % 5 == 0 {
                                std::thread::yield_now();
                            }
                        }
                    });
                    span.record("swarrot.outcome", if n % 2 == 0 { "ack" } else { "error" });
                });
            })
        })
        .collect();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    for n in 0..200 {
        let events: Vec<_> = written
            .with(&format!(" of {n}: "))
            .iter()
            .map(|line| line.rsplit(' ').next().unwrap().to_owned())
            .collect();
        let expected: Vec<_> = (0..20).filter(|_| n % 2 == 1).map(|event: u32| event.to_string()).collect();
        assert_eq!(events, expected, "of {n}");
    }
}
