//! `swarrot top`.

mod actions;
mod keys;
mod model;
mod poll;
mod stream;
mod view;
mod workers;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ratatui::DefaultTerminal;
use tokio::time::{MissedTickBehavior, interval};

use self::model::Model;
use self::poll::Poll;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::parse;
use crate::queues::named_or_all;
use crate::session::Session;

/// Shows queues and workers as they are, again and again
///
/// Keys: up and down choose a queue; p looks at its next messages, d at its dead letters; r puts its dead letters back to
/// work and x deletes what waits in it, each after a question; q ends it. With --json it prints a document at each look.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The queues; all that there are when it begins, unless told, where the broker tells: on Redis, and not on RabbitMQ
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    /// Shows what is in flight at a worker that serves its health there, such as 127.0.0.1:9090; may be repeated
    #[arg(long = "worker", value_name = "ADDRESS")]
    workers: Vec<String>,
    /// Looks so often
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::duration)]
    every: Duration,
    /// Ends after so many looks
    #[arg(long, value_name = "NUMBER")]
    times: Option<u64>,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let every = args.every.max(Duration::from_millis(50));
    let terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !session.output.is_json() && !terminal {
        return Err(Failure::usage("top draws on a terminal; use --json, or `count`, elsewhere"));
    }
    let broker = session.connect().await?;
    let queues = named_or_all(&*broker, args.queues).await?;
    let poll = Poll::new(&*broker, &queues, &args.workers);
    // A mistake in a queue's name is told before anything is drawn.
    let first = poll.look().await?;
    let mut model = Model::new(session.broker_name(None), queues.clone());
    model.saw(first);
    let ended = if session.output.is_json() {
        stream::run(&poll, &mut model, every, args.times, session).await
    } else {
        let mut terminal = ratatui::try_init()?;
        let ended = draw(&mut terminal, &poll, model, (every, args.times), session).await;
        ratatui::restore();
        ended
    };
    let exit = ended?;
    broker.close().await?;
    Ok(exit)
}

/// Draws until somebody has seen enough.
async fn draw(
    terminal: &mut DefaultTerminal,
    poll: &Poll<'_>,
    mut model: Model,
    (every, times): (Duration, Option<u64>),
    session: &Session,
) -> Result<Exit> {
    let mut events = EventStream::new();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut looks = 1;
    let (mut looking, mut running) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        terminal.draw(|frame| view::draw(frame, &model))?;
        if times.is_some_and(|times| looks >= times) {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = session.stop.asked() => return Ok(Exit::Signal),
            // Keys are heard meanwhile.
            _ = ticks.tick(), if looking.is_empty() => looking.push(poll.look()),
            Some(looked) = looking.next(), if !looking.is_empty() => {
                looks += 1;
                match looked {
                    Ok(seen) => model.saw(seen),
                    Err(failure) => model.failed(failure.line()),
                }
            }
            Some(outcome) = running.next(), if !running.is_empty() => model.show(outcome),
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    match keys::press(&mut model, key) {
                        keys::Pressed::Nothing => {}
                        keys::Pressed::Quit => return Ok(Exit::Done),
                        keys::Pressed::Do(action) => {
                            model.begins(&action);
                            running.push(actions::run(action, poll.broker(), session));
                        }
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::new(format!("the terminal cannot be read: {error}"))),
                None => return Ok(Exit::Done),
            },
        }
    }
}
