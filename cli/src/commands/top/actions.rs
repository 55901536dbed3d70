//! What keys set off.

use std::fmt::Write as _;

use swarrot::message::names;
use swarrot::{Broker, Delivery, PublisherOptions};

use crate::failure::{Result, one_line_of};
use crate::message::describe;
use crate::output::count;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;
use crate::sweeping::{self, Choice, again, go_through, look, open};

/// Messages that are shown.
const SHOWN: u64 = 20;

/// What a key sets off, on a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Peek(String),
    PeekDead(String),
    RetryDead(String),
    Purge(String),
}

/// What an action came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Note(String),
    Text { title: String, text: String },
}

impl Action {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Peek(queue) => format!("looking at {queue}"),
            Self::PeekDead(queue) => format!("looking at the dead letters of {queue}"),
            Self::RetryDead(queue) => format!("retrying the dead letters of {queue}"),
            Self::Purge(queue) => format!("purging {queue}"),
        }
    }
}

/// Does it; a failure is an outcome as well.
pub(super) async fn run(action: Action, broker: &dyn Broker, session: &Session) -> Outcome {
    let done = match &action {
        Action::Peek(queue) => peek(broker, queue, session).await,
        Action::PeekDead(queue) => peek(broker, &names::dead_letter_queue(queue), session).await,
        Action::RetryDead(queue) => retry(broker, queue, session).await,
        Action::Purge(queue) => purge(broker, queue).await,
    };
    done.unwrap_or_else(|failure| Outcome::Note(format!("! {}", failure.line())))
}

async fn peek(broker: &dyn Broker, queue: &str, session: &Session) -> Result<Outcome> {
    let mut text = String::new();
    look(broker, queue, Some(SHOWN), session, |message| {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{}", describe(message));
        Ok(true)
    })
    .await?;
    if text.is_empty() {
        return Ok(Outcome::Note(format!("{queue} is empty")));
    }
    Ok(Outcome::Text { title: format!("the next messages of {queue}"), text })
}

async fn retry(broker: &dyn Broker, queue: &str, session: &Session) -> Result<Outcome> {
    let dead = names::dead_letter_queue(queue);
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let choice = Choice::default();
    let sweep = open(broker, &dead, &choice).await?;
    let make = |delivery: &Delivery| again(delivery, None, queue);
    let action = sweeping::Action::Forward(publisher, &make);
    let tally = go_through(sweep, choice, Pace::new(None), &action, session, &Progress::silent()).await;
    let mut line = format!("retried {} of {queue}", count(tally.done, "dead letter"));
    if tally.failed > 0 {
        let _ = write!(line, ", {} failed and stay", tally.failed);
    }
    if let Some(error) = &tally.broke {
        let _ = write!(line, "; ! {}", one_line_of(error));
    }
    Ok(Outcome::Note(line))
}

async fn purge(broker: &dyn Broker, queue: &str) -> Result<Outcome> {
    let purged = broker.purge(queue).await?;
    Ok(Outcome::Note(format!("{} deleted from {queue}", count(purged, "message"))))
}
