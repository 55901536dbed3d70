//! Starts brokers, has faults happen, and writes down what became of the messages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use crate::cut_points::How;
use crate::fault::Fault;
use crate::pace::Pace;
use crate::plan::{Plan, Schedule};
use crate::report::{Report, Row};
use crate::target::{Backend, Target};
use crate::{cut_points, trial};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// These backends; without it, all
    #[arg(long, value_delimiter = ',')]
    backend: Vec<Backend>,
    /// These faults; without it, all, and the trials that are not of one fault
    #[arg(long, value_delimiter = ',')]
    fault: Vec<Fault>,
    /// These trials that are not of one fault
    #[arg(long, value_delimiter = ',')]
    trial: Vec<Trial>,
    /// Instead of each fault alone, all mixed for so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Each fault once, in as little time as will do; the report stays as it is
    #[arg(long, conflicts_with_all = ["trial", "minutes", "times", "report"])]
    brief: bool,
    /// How often each fault happens
    #[arg(long, default_value_t = 3)]
    times: usize,
    /// Where chance begins; without it, anywhere
    #[arg(long)]
    seed: Option<u64>,
    /// The report, whose rows of other runs are kept
    #[arg(long, default_value = "docs/reliability.md")]
    report: PathBuf,
    /// Keeps ledgers, logs and samples of the processes in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Trial {
    /// Ten thousand messages that fail twice, and a broker that dies every five seconds
    UnderFire,
    /// Messages that end the process that handles them
    Poison,
    /// Connections that end, or stall, behind each frame of a short life
    CutPoints,
}

/// Runs what was asked for.
///
/// # Errors
/// If something cannot be run, or a promise was not kept.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let temporary = tempfile::Builder::new().prefix("swarrot-faults-").tempdir()?;
    let dir = args.keep.as_deref().unwrap_or(temporary.path());
    let mut report = Report::load(&args.report)?;
    let backends = if args.backend.is_empty() { Backend::value_variants() } else { &args.backend };
    let pace = if args.brief { Pace::Brief } else { Pace::Steady };
    let mut broken = 0;
    for backend in backends {
        let plans = plans(args, *backend);
        if plans.is_empty() {
            continue;
        }
        println!("==> {}: starting the broker", backend.name());
        let mut target = Target::start(*backend, pace).await?;
        let version = version(&target).await?;
        let mut is_spoilt = false;
        for plan in plans {
            if is_spoilt {
                drop(target);
                target = Target::start(*backend, pace).await?;
            }
            let row = one(&target, &version, &plan, dir, seed).await?;
            broken += usize::from(!row.is_as_promised());
            is_spoilt = plan.leaves_delays_behind();
            if !args.brief {
                report.put(row)?;
            }
        }
    }
    if broken > 0 {
        let kept = if args.keep.is_some() { "" } else { "; --keep DIR keeps ledgers and logs" };
        bail!("{broken} trials did not end as promised; repeat them with --seed {seed}{kept}");
    }
    Ok(())
}

fn plans(args: &Args, backend: Backend) -> Vec<Plan> {
    if let Some(minutes) = args.minutes {
        return vec![Plan::mixed(backend, Duration::from_secs_f64(minutes * 60.0))];
    }
    let all = args.fault.is_empty() && args.trial.is_empty();
    let faults: &[Fault] = if all { Fault::all() } else { &args.fault };
    if args.brief {
        return Plan::brief(backend, faults);
    }
    let mut plans: Vec<_> = faults.iter().filter(|f| f.fits(backend)).map(|f| Plan::single(*f, args.times)).collect();
    // Without a broker that counts, nothing ends a message that ends every worker.
    if (all || args.trial.contains(&Trial::Poison)) && backend.counts_deliveries() {
        plans.push(Plan::poison());
    }
    if all || args.trial.contains(&Trial::UnderFire) {
        plans.push(Plan::under_fire(backend));
    }
    if (all || args.trial.contains(&Trial::CutPoints)) && backend.has_proxy() && backend.is_single() {
        plans.push(Plan::cut_points(How::Ended));
        plans.push(Plan::cut_points(How::Frozen));
    }
    plans
}

async fn one(target: &Target, version: &str, plan: &Plan, dir: &Path, seed: u64) -> Result<Row> {
    let name = format!("{}-{}", target.backend.name(), plan.name.replace([' ', ','], "-"));
    println!("==> {name}");
    // The same for the same trial, whichever others are run.
    let salt = name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = fastrand::Rng::with_seed(salt);
    let findings = match plan.faults {
        Schedule::CutPoints(how) => cut_points::run(target, how, 1).await,
        _ => trial::run(target, plan, &dir.join(&name), &mut rng).await,
    };
    let findings = findings.with_context(|| name.clone())?;
    println!("    {} in {:.0?}, {} faults", findings.account, findings.elapsed, findings.struck);
    let row = Row::new(target.backend, version, plan, seed, &findings);
    println!("    {}", row.summary());
    for wrong in findings.problems.iter().chain(&findings.account.examples) {
        println!("    ! {wrong}");
    }
    Ok(row)
}

async fn version(target: &Target) -> Result<String> {
    let broker = swarrot::connect(&target.direct_url()).await?;
    let server = broker.describe().await?;
    broker.close().await?;
    Ok(format!("{} {}", server.product, server.version))
}
