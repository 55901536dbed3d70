//! One trial: a busy queue, faults, and the account of what became of every message.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use swarrot::prelude::*;
use tokio::time::Instant;

use crate::account::{Account, Leftovers};
use crate::crew::{Crew, Role, Sample};
use crate::fault::{Fault, Stage};
use crate::ledger;
use crate::load::topology;
use crate::plan::{Plan, Schedule};
use crate::target::Target;

/// How long nothing may happen, on a busy machine, although nothing is broken.
const SILENCE: Duration = Duration::from_secs(90);
/// How long nothing has to happen, once a queue was deleted, before it is believed that nothing will: twice the time after which
/// RabbitMQ counts anew what is in a queue.
const QUIET: Duration = Duration::from_secs(10);
/// How long RabbitMQ may keep what waits in a delay queue for a queue, or its leader, that was gone: three times what it waits
/// before it looks for a new one.
const DELAYS: Duration = Duration::from_secs(600);
/// How long processes may take to end.
const END: Duration = Duration::from_secs(200);
/// How many messages are handled before the first fault.
const WARM: usize = 100;

/// What a trial came to.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) account: Account,
    /// How often there was a fault.
    pub(crate) struck: usize,
    /// The longest time without a confirmed message, from when a fault was over to the next.
    pub(crate) publish_silence: Duration,
    /// The longest time without a handled message.
    pub(crate) handle_silence: Duration,
    /// How often a worker process ended by itself.
    pub(crate) crashes: u32,
    /// What should not have happened.
    pub(crate) problems: Vec<String>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) elapsed: Duration,
}

/// A time in which all was well.
type Calm = (u64, u64);

/// Runs a trial with its files in this folder.
///
/// # Errors
/// If it cannot be run; what it finds is no error.
pub(crate) async fn run(target: &Target, plan: &Plan, dir: &Path, rng: &mut fastrand::Rng) -> Result<Findings> {
    let started = Instant::now();
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let queue = format!("faults.{:08x}", rng.u32(..));
    let broker = swarrot::connect(&target.direct_url()).await?;
    broker.declare(&topology(&queue, target.backend.keeping())).await?;
    broker.close().await?;

    let mut crew = Crew::new(dir);
    crew.crashes_expected = plan.publishers.mix.poison.is_some();
    hire(&mut crew, target, plan, &queue, rng)?;
    // A retry has to have come back too: a delay that is used for the first time makes a queue.
    let is_warm = |crew: &mut Crew| crew.books.handled_at.len() >= WARM && crew.books.some_retry_is_done();
    if !crew.until(SILENCE, is_warm).await? {
        crew.problems.push(format!("no {WARM} messages were handled within {SILENCE:?}"));
    }
    let mut stage = Stage { target, queue: &queue, crew: &mut crew, rng, struck: 0, deleted: Vec::new() };
    let mut calms = Vec::new();
    strike(&mut stage, plan, &mut calms).await?;
    let (struck, deleted) = (stage.struck, stage.deleted);

    if plan.publishers.count.is_none() {
        crew.end_publishers(END).await?;
    } else {
        crew.await_publishers(END).await?;
    }
    settle(&mut crew, target, if deleted.is_empty() { SILENCE } else { QUIET }).await?;
    if crew.crashes_expected {
        let leftovers = || async { stats(target, &queue).await };
        wait_for_poison(&mut crew, leftovers).await?;
    }
    crew.end_workers(END).await?;
    let leftovers = drain(&target.direct_url(), &queue).await?;
    std::fs::write(dir.join("samples.csv"), table(&crew.samples)).context("cannot write samples")?;
    let account = Account::of(&crew.books, &leftovers, &deleted);
    Ok(Findings {
        account,
        struck,
        publish_silence: longest(&crew.books.confirmed_at, &calms),
        handle_silence: longest(&crew.books.handled_at, &calms),
        crashes: crew.crashes,
        problems: crew.problems,
        samples: crew.samples,
        elapsed: started.elapsed(),
    })
}

fn hire(crew: &mut Crew, target: &Target, plan: &Plan, queue: &str, rng: &mut fastrand::Rng) -> Result<()> {
    let common = [("url", target.url()), ("queue", queue.to_owned())];
    let args = |more: &[(&str, String)]| {
        let both = common.iter().chain(more);
        both.flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect::<Vec<_>>()
    };
    let keeping = format!("{:?}", target.backend.keeping()).to_lowercase();
    for _ in 0..plan.workers.processes {
        let own = [
            ("keeping", keeping.clone()),
            ("concurrency", plan.workers.concurrency.to_string()),
            ("work", plan.workers.work.to_string()),
            ("crash-limit", plan.workers.crash_limit.to_string()),
        ];
        crew.hire(Role::Worker, args(&own))?;
    }
    let publishers = &plan.publishers;
    for number in 0..publishers.processes {
        let mut own = vec![
            ("name", format!("p{number}")),
            ("tasks", publishers.tasks.to_string()),
            ("rate", (publishers.rate / publishers.processes).to_string()),
            ("seed", rng.u64(..).to_string()),
            ("twice", publishers.mix.twice.to_string()),
            ("hopeless", publishers.mix.hopeless.to_string()),
        ];
        own.extend(publishers.count.map(|count| ("count", (count / publishers.processes).to_string())));
        own.extend(publishers.mix.poison.map(|each| ("poison", each.to_string())));
        crew.hire(Role::Publisher, args(&own))?;
    }
    Ok(())
}

/// Lets all faults happen.
async fn strike(stage: &mut Stage<'_>, plan: &Plan, calms: &mut Vec<Calm>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let fault = match &plan.faults {
            Schedule::Times(fault, times) if stage.struck < *times => *fault,
            Schedule::Each(faults) if stage.struck < faults.len() => faults[stage.struck],
            Schedule::Mixed(faults, time) if begun.elapsed() < *time => faults[stage.rng.usize(0..faults.len())],
            Schedule::UntilHandled(fault) if stage.crew.is_publishing() || stage.crew.books.outstanding() > 0 => *fault,
            _ => return Ok(()),
        };
        one(stage, fault, plan, calms).await.with_context(|| format!("cannot {}", fault.name()))?;
    }
}

async fn one(stage: &mut Stage<'_>, fault: Fault, plan: &Plan, calms: &mut Vec<Calm>) -> Result<()> {
    fault.strike(stage).await?;
    stage.struck += 1;
    let well = ledger::now();
    let (least, most) = plan.calm;
    let calm = least + most.saturating_sub(least).mul_f64(stage.rng.f64());
    if plan.publishers.count.is_none() {
        // What is sent from now on has to go through.
        let through = stage.crew.until(SILENCE, |crew| crew.books.newest_handled > well).await?;
        if !through {
            stage.crew.problems.push(format!("nothing goes through {SILENCE:?} after {}", fault.name()));
        }
    }
    stage.crew.pass(calm).await?;
    calms.push((well, ledger::now()));
    Ok(())
}

/// Waits until everything is handled, or nothing more happens. What is missing then is lost, or gone with its queue.
async fn settle(crew: &mut Crew, target: &Target, patience: Duration) -> Result<()> {
    let end = Instant::now() + DELAYS;
    let (mut seen, mut since) = (0, Instant::now());
    while crew.books.outstanding() > 0 && since.elapsed() < patience {
        crew.pass(Duration::from_millis(200)).await?;
        let happens = crew.books.handled_at.len() > seen;
        if happens || since.elapsed() >= patience && Instant::now() < end && target.holds_delayed()? {
            (seen, since) = (crew.books.handled_at.len(), Instant::now());
        }
    }
    if crew.books.outstanding() > 0 && target.holds_delayed()? {
        crew.problems.push(format!("messages are still in delay queues after {DELAYS:?}"));
    }
    Ok(())
}

/// Waits until nothing is in the queue and no handler has run for a while: what ends its workers is parked then.
async fn wait_for_poison<F: Future<Output = Result<u64>>>(crew: &mut Crew, waiting: impl Fn() -> F) -> Result<()> {
    let end = Instant::now() + END;
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET {
        crew.pass(Duration::from_millis(500)).await?;
        // While a worker dies and another starts, what it held is nowhere to be seen.
        if waiting().await? > 0 || crew.books.handled_at.len() > seen {
            (seen, since) = (crew.books.handled_at.len(), Instant::now());
        }
        if Instant::now() > end {
            crew.problems.push(format!("{} messages are still in the queue after {END:?}", waiting().await?));
            break;
        }
    }
    Ok(())
}

async fn stats(target: &Target, queue: &str) -> Result<u64> {
    let broker = swarrot::connect(&target.direct_url()).await?;
    let stats = broker.stats(queue).await?;
    broker.close().await?;
    // A provider without anything in its hands is no delivery; who does not tell counts as one that has something.
    Ok(stats.ready + stats.unsettled.unwrap_or(0) + stats.delayed.unwrap_or(0))
}

/// Takes all that is left, and deletes the queues.
pub(crate) async fn drain(url: &str, queue: &str) -> Result<Leftovers> {
    let broker = swarrot::connect(url).await?;
    let left = Leftovers {
        queue: empty(&broker, queue).await?,
        parked: empty(&broker, &swarrot::message::names::dead_letter_queue(queue)).await?,
    };
    broker.delete(queue).await?;
    broker.delete(&swarrot::message::names::dead_letter_queue(queue)).await?;
    broker.close().await?;
    Ok(left)
}

async fn empty(broker: &Arc<dyn Broker>, queue: &str) -> Result<HashMap<String, u32>> {
    let provider = broker.provider(queue, ProviderOptions::default()).await?;
    let mut found: HashMap<String, u32> = HashMap::new();
    let many = NonZeroUsize::new(100).expect("not zero");
    loop {
        let deliveries = provider.receive(many, Duration::from_secs(2)).await?;
        if deliveries.is_empty() {
            break;
        }
        for delivery in &deliveries {
            *found.entry(delivery.id().to_owned()).or_default() += 1;
        }
        let acks: Vec<_> = deliveries.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
        provider.settle(&acks).await?;
    }
    provider.close().await?;
    Ok(found)
}

/// How the processes were, for whoever wants to see it drawn.
fn table(samples: &[Sample]) -> String {
    let line = |s: &Sample| {
        let Sample { name, life, at, memory, threads, files, log_lines, .. } = s;
        format!("{name}.{life},{at},{memory},{threads},{files},{log_lines}\n")
    };
    let head = "process,milliseconds,kibibytes,threads,files,lines logged\n".to_owned();
    samples.iter().fold(head, |text, sample| text + &line(sample))
}

/// The longest time between two of these moments, or without any, within one of these times.
fn longest(moments: &[u64], calms: &[Calm]) -> Duration {
    let mut moments = moments.to_vec();
    moments.sort_unstable();
    let mut longest = 0;
    for (start, end) in calms {
        let from = moments.partition_point(|at| at < start);
        let within = moments[from..].iter().take_while(|at| *at <= end);
        let mut last = *start;
        for at in within.chain([end]) {
            longest = longest.max(at - last);
            last = *at;
        }
    }
    Duration::from_millis(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_is_found_where_all_was_well() {
        let moments = [5, 30, 10, 100, 250];
        assert_eq!(longest(&moments, &[]), Duration::ZERO);
        assert_eq!(longest(&moments, &[(0, 40)]), Duration::from_millis(20));
        assert_eq!(longest(&moments, &[(0, 120)]), Duration::from_millis(70));
        assert_eq!(longest(&moments, &[(0, 12), (260, 300)]), Duration::from_millis(40));
    }
}
