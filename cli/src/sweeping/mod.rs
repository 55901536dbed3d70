//! Going through a queue: what `move` and `dead` have in common.

mod again;
mod choice;
mod tally;

use std::num::NonZeroUsize;
use std::sync::Arc;

use swarrot::{Broker, Delivery, Message, MessagePublisher, Outgoing, Receipt, Sweep};

pub(crate) use self::again::again;
pub(crate) use self::choice::Choice;
pub(crate) use self::tally::Tally;
use crate::failure::{Failure, Result};
use crate::output::{count, note};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;

/// Messages looked at together.
const BATCH: usize = 256;
/// Messages that every broker which can look shows in one call.
const LOOK: u64 = 1000;

/// What becomes of the messages that are meant.
pub(crate) enum Action<'a> {
    /// They are gone.
    Drop,
    /// They go elsewhere.
    Forward(Arc<dyn MessagePublisher>, &'a dyn Fn(&Delivery) -> Outgoing),
}

/// Begins with a queue. Where any message is meant it takes no more than so many out of others' way.
///
/// # Errors
/// As [`Sweep::open`].
pub(crate) async fn open(broker: &dyn Broker, queue: &str, choice: &Choice) -> Result<Sweep> {
    Ok(Sweep::open_at_most(broker, queue, choice.most()).await?)
}

/// Goes through a queue, at most so fast, until its end, a signal, or until all that is meant was found.
///
/// What failed for one message is in the tally, and the message stays; so is an error of the broker that ended it.
pub(crate) async fn go_through(
    mut sweep: Sweep,
    mut choice: Choice,
    mut pace: Pace,
    action: &Action<'_>,
    session: &Session,
    progress: &Progress,
) -> Tally {
    let batch = NonZeroUsize::new(pace.batch(BATCH)).unwrap_or(NonZeroUsize::MIN);
    let mut tally = Tally::default();
    while !choice.is_complete() {
        let next = async {
            pace.ready().await;
            sweep.next(batch).await
        };
        let seen = tokio::select! {
            seen = next => seen,
            () = session.stop.asked() => break,
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                tally.also(Err(error));
                break;
            }
        };
        if seen.is_empty() {
            break;
        }
        progress.add(seen.len());
        let looked_at = seen.len();
        let meant: Vec<Delivery> = seen.into_iter().filter(|delivery| choice.take(delivery.message())).collect();
        tally.kept += u64::try_from(looked_at - meant.len()).unwrap_or(0);
        pace.took(meant.len());
        let results = act(&mut sweep, &meant, action).await;
        tally.add(&meant, results, progress);
    }
    tally.not_looked_at = if choice.is_complete() { 0 } else { sweep.left() };
    choice.missing().clone_into(&mut tally.missing);
    // Whatever came of it, what was taken is given back.
    tally.also(sweep.close().await);
    tally
}

async fn act(sweep: &mut Sweep, meant: &[Delivery], action: &Action<'_>) -> Vec<Result<(), swarrot::Error>> {
    match action {
        Action::Forward(publisher, make) => {
            let batch = meant.iter().map(|delivery| (delivery.receipt(), make(delivery))).collect();
            sweep.forward(&**publisher, batch).await
        }
        Action::Drop => {
            let receipts: Vec<Receipt> = meant.iter().map(Delivery::receipt).collect();
            let failed = sweep.done(&receipts).await.err().map(swarrot::SettleError::into_failures).unwrap_or_default();
            let result = |receipt: &Receipt| match failed.iter().find(|(of, _)| of == receipt) {
                Some((_, error)) => Err(error.clone()),
                None => Ok(()),
            };
            receipts.iter().map(result).collect()
        }
    }
}

/// Shows each message that waits in a queue, `max` at most, and leaves it there. Where the broker cannot look without
/// taking, they are taken and given back. Answers how many of those that were wanted were not seen.
///
/// # Errors
/// As of the broker and of `show`; a signal ends it.
pub(crate) async fn look(
    broker: &dyn Broker,
    queue: &str,
    max: Option<u64>,
    session: &Session,
    mut show: impl FnMut(&Message) -> Result<bool>,
) -> Result<u64> {
    let kind = swarrot::topology::QueueKind::default();
    if let Some(max) = max.filter(|max| *max <= LOOK && broker.capabilities(kind).browse) {
        let Some(max) = usize::try_from(max).ok().and_then(NonZeroUsize::new) else { return Ok(0) };
        for message in broker.peek(queue, max).await? {
            if !show(&message)? {
                break;
            }
        }
        return Ok(0);
    }
    let mut sweep = Sweep::open_at_most(broker, queue, max.unwrap_or(u64::MAX)).await?;
    let shown = show_all(&mut sweep, session, show).await;
    // Whatever came of it, what was taken is given back.
    let closed = sweep.close().await;
    let not_seen = shown?;
    closed?;
    Ok(not_seen)
}

/// Says on stderr how many were not seen, if any.
pub(crate) fn say_not_seen(messages: u64) {
    if messages > 0 {
        note(format_args!(
            "swarrot: {} not seen: others hold them, or they are more than can be held at once ({}); run it again",
            count(messages, "message"),
            Sweep::MAX_HELD
        ));
    }
}

async fn show_all(sweep: &mut Sweep, session: &Session, mut show: impl FnMut(&Message) -> Result<bool>) -> Result<u64> {
    let batch = const { NonZeroUsize::new(BATCH).expect("not zero") };
    loop {
        let seen = tokio::select! {
            seen = sweep.next(batch) => seen?,
            () = session.stop.asked() => return Err(Failure::signal("stopped by a signal")),
        };
        if seen.is_empty() {
            return Ok(sweep.left());
        }
        for delivery in seen {
            if !show(delivery.message())? {
                return Ok(0);
            }
        }
    }
}
