//! The task's bookkeeping, with no server: what it does with entries, and when.

use lapin::BasicProperties;
use swarrot_core::Message;

use super::*;
use crate::config::Config;
use crate::connection::Role;
use crate::publisher::entry::Batch;
use crate::topology::delay::Bucket;

/// A task that is not connected, and does not run by itself.
fn task() -> Task {
    let config = Arc::new(Config::parse(&"amqp://".parse().expect("a URL")).expect("a URL of AMQP"));
    let [publish, receive] = [Role::Publish, Role::Receive].map(|role| Arc::new(Link::new(Arc::clone(&config), role)));
    let wiring = Wiring { publish, receive, remembered: Arc::new(Remembered::new(false)), exchange: String::new() };
    let (_, jobs) = mpsc::unbounded_channel();
    Task::new(Arc::new(wiring), jobs)
}

/// Takes in a message that has so long to go; its id, and where its result will be.
fn give(task: &mut Task, patience: Duration, change: impl FnOnce(&mut Entry)) -> (u64, Arc<Batch>) {
    let batch = Batch::new(1);
    let (message, deadline) = (Message::new("ten bytes."), Instant::now() + patience);
    let mut entry = Box::new(Entry::new(message, BasicProperties::default(), "queue".into(), None, deadline));
    entry.answer = batch.answer(0);
    change(&mut entry);
    task.take(entry);
    (task.next_id, batch)
}

/// The result that is there already.
async fn result(batch: &Batch) -> Result<(), ErrorKind> {
    let results = tokio::time::timeout(Duration::ZERO, batch.results()).await.expect("there is a result");
    results.into_iter().next().expect("one").map_err(|error| error.kind())
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_is_given_up_on_at_its_own_deadline() {
    let mut task = task();
    let (old, _old) = give(&mut task, 5 * SECOND, |_| {});
    let (young, answer) = give(&mut task, SECOND, |_| {});
    assert_eq!(task.wake_at(), Some(Instant::now() + SECOND));
    tokio::time::advance(SECOND).await;
    task.expire(Instant::now());
    assert_eq!(result(&answer).await, Err(ErrorKind::Timeout));
    assert!(task.entries.contains_key(&old) && !task.entries.contains_key(&young));
}

#[tokio::test(start_paused = true)]
async fn what_has_its_verdict_leaves_nothing_behind() {
    let mut task = task();
    for _ in 0..10 {
        let (id, answer) = give(&mut task, 5 * SECOND, |_| {});
        task.judge(&mut vec![(id, Verdict::Confirmed)]);
        assert_eq!(result(&answer).await, Ok(()));
    }
    task.tidy();
    assert!(task.entries.is_empty() && task.deadlines.first().is_none(), "{:?}", task.deadlines);
    // Nothing is sent, so that all that is given up on is still in the queue.
    for _ in 0..3 * WINDOW {
        give(&mut task, SECOND, |_| {});
    }
    tokio::time::advance(SECOND).await;
    task.expire(Instant::now());
    task.tidy();
    assert_eq!((task.entries.len(), task.queue.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_sent_again_too_late_for_an_answer() {
    let mut task = task();
    let flying = |entry: &mut Entry| {
        entry.stage = Stage::Flying;
        entry.refusals = 8;
    };
    let (early, _answer) = give(&mut task, 5 * SECOND, flying);
    let (late, answer) = give(&mut task, SECOND, flying);
    task.judge(&mut vec![(early, Verdict::Refused), (late, Verdict::Refused)]);
    let again: Vec<_> = task.refused.iter().map(|(_, id)| *id).collect();
    assert_eq!(again, [early], "the pauses are of half a second at least");
    tokio::time::advance(SECOND).await;
    task.expire(Instant::now());
    assert_eq!(result(&answer).await, Err(ErrorKind::Rejected));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_while_blocked() {
    let mut task = task();
    task.blocked = watch::channel(true).1;
    let (_, _answer) = give(&mut task, 5 * SECOND, |_| {});
    task.retry_at = Some(Instant::now() - SECOND);
    task.pump();
    assert_eq!(task.wake_at(), Some(Instant::now() + 5 * SECOND), "it does not wake for what it may not do");
    task.blocked = watch::channel(false).1;
    assert!(task.wake_at() < Some(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn what_a_new_delay_queue_confirms_is_unknown_until_it_is_old_enough() {
    let mut task = task();
    let (id, answer) = give(&mut task, SECOND, |entry| entry.stage = Stage::Ripening);
    task.ripening.insert((Instant::now() + 3 * SECOND, id));
    tokio::time::advance(SECOND).await;
    task.pump();
    assert_eq!(result(&answer).await, Err(ErrorKind::Unknown));
    let (id, answer) = give(&mut task, 5 * SECOND, |entry| entry.stage = Stage::Ripening);
    task.ripening.insert((Instant::now() + 3 * SECOND, id));
    tokio::time::advance(3 * SECOND).await;
    task.pump();
    assert_eq!(result(&answer).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_suspect_that_is_too_large_is_no_suspect_any_more() {
    let mut task = task();
    let (large, answer) = give(&mut task, SECOND, |_| {});
    let (small, _answer) = give(&mut task, SECOND, |entry| entry.message.body = "small".into());
    task.suspects.insert(large);
    task.size_limit = Some(9);
    assert_eq!((task.limit(), task.next_to_send(), task.limit()), (1, Some(small), WINDOW));
    assert_eq!(result(&answer).await, Err(ErrorKind::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn a_delay_queue_is_made_again_once() {
    let mut task = task();
    let delay = Bucket::new(Some(SECOND), "").expect("not too long");
    let (id, answer) = give(&mut task, SECOND, |entry| entry.bucket = delay);
    task.queue.clear();
    task.judge(&mut vec![(id, Verdict::Unroutable)]);
    assert_eq!(task.queue, [id]);
    task.judge(&mut vec![(id, Verdict::Unroutable)]);
    assert_eq!(result(&answer).await, Err(ErrorKind::Unroutable));
}

fn hard() -> Error {
    use lapin::protocol::{AMQPError, AMQPHardError};
    let error = AMQPError::new(AMQPHardError::INTERNALERROR.into(), "INTERNAL_ERROR - a node died".into());
    from_lapin(lapin::ErrorKind::ProtocolError(error).into())
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_server_is_blamed_on_no_message() {
    let mut task = task();
    let (id, _answer) = give(&mut task, SECOND, |entry| entry.stage = Stage::Flying);
    task.queue.clear();
    task.end_epoch(hard());
    assert_eq!((&task.queue, task.suspects.len()), (&VecDeque::from([id]), 0));
    // One message alone, over which the server closes the channel, is to blame.
    let mut task = self::task();
    let (_, answer) = give(&mut task, SECOND, |entry| entry.stage = Stage::Flying);
    task.end_epoch(Error::new(ErrorKind::AccessRefused, "no"));
    assert_eq!(result(&answer).await, Err(ErrorKind::AccessRefused));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_taken_is_unknown_whatever_comes_after() {
    let mut task = task();
    let (_, sent) = give(&mut task, SECOND, |entry| entry.stage = Stage::Flying);
    task.end_epoch(hard());
    let (_, new) = give(&mut task, SECOND, |_| {});
    task.opened(Err(Error::new(ErrorKind::AccessRefused, "no")));
    assert_eq!((result(&sent).await, result(&new).await), (Err(ErrorKind::Unknown), Err(ErrorKind::AccessRefused)));

    let (_, sent) = give(&mut task, SECOND, |entry| entry.stage = Stage::Flying);
    task.end_epoch(hard());
    task.entries.values_mut().for_each(|entry| entry.stage = Stage::Flying);
    task.end_epoch(Error::new(ErrorKind::AccessRefused, "no"));
    assert_eq!(result(&sent).await, Err(ErrorKind::Unknown));
}
