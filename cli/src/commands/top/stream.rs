//! The same for programs: a document at each look.

use std::time::Duration;

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::model::Model;
use super::poll::Poll;
use super::workers::InFlight;
use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Prints what a look saw, and looks again, until a signal or so many times.
///
/// # Errors
/// If a queue is gone, or the output is closed.
pub(super) async fn run(
    poll: &Poll<'_>,
    model: &mut Model,
    every: Duration,
    times: Option<u64>,
    session: &Session,
) -> Result<Exit> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    for look in 1_u64.. {
        let in_flight: Vec<&InFlight> = model.workers.iter().flatten().flatten().collect();
        let errors: Vec<&String> = model.workers.iter().filter_map(|worker| worker.as_ref().err()).collect();
        let document = json!({ "queues": model.queues, "in_flight": in_flight, "errors": errors });
        session.output.print(&document, String::new)?;
        if times.is_some_and(|times| look >= times) {
            break;
        }
        tokio::select! {
            _ = ticks.tick() => model.saw(poll.look().await?),
            () = session.stop.asked() => return Ok(Exit::Signal),
        }
    }
    Ok(Exit::Done)
}
