//! `cargo xtask bench`: compares swarrot with the raw clients, and guards what a message costs.

use std::process::Command;

use anyhow::Result;

use crate::steps::step;
use crate::workspace::{cargo, root, target};
use crate::{install, interrupt};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Counts instructions and allocations instead, and fails beyond the limits of `bench/limits.json`
    #[arg(long, conflicts_with = "bench")]
    check: bool,
    /// What to compare (amqp, redis, memory, layers, latency, advice, startup, idle; all these unless told; long), and options
    /// such as `--rounds 3` or `--only quorum`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

/// Builds the benchmarks for speed, and runs them on private brokers. Tables and figures go to `target/bench`, and
/// into docs/performance.md.
///
/// # Errors
/// If something fails, or costs more than its limit.
pub(crate) fn run(args: &Args) -> Result<()> {
    interrupt::handle()?;
    let target = target()?;
    let program = |name: &str| target.join("release").join(name);
    step("build the benchmarks", &mut cargo(&["build", "-q", "--profile", "bench", "-p", "swarrot-bench"])?)?;
    let mut bench = Command::new(program("swarrot-bench"));
    if args.check {
        install::valgrind()?;
        return step("count", bench.arg("check").arg("--counted").arg(program("counted")));
    }
    install::brokers()?;
    bench.arg("compare").args(&args.bench).arg("--out").arg(target.join("bench"));
    bench.arg("--document").arg(root()?.join("docs/performance.md"));
    step("compare", &mut bench)
}
