//! `cargo xtask bench`: compares swarrot with the raw clients, and guards what a message costs.

use std::path::{Path, PathBuf};
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
    /// With `--check`, leaves out what needs the clients of brokers, which take most of the time to build
    #[arg(long, requires = "check")]
    quick: bool,
    /// What to compare (amqp, redis, memory, layers, latency, advice, startup, idle; all these unless told; long; peers), and
    /// options such as `--rounds 3` or `--only quorum`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

impl Args {
    /// The guard, as far as it is quick.
    pub(crate) fn quick_check() -> Self {
        Self { check: true, quick: true, bench: Vec::new() }
    }
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
    let mut build = cargo(&["build", "-q", "--profile", "bench", "-p", "swarrot-bench"])?;
    if args.quick {
        build.arg("--no-default-features");
    }
    step("build the benchmarks", &mut build)?;
    let mut bench = Command::new(program("swarrot-bench"));
    if args.check {
        install::valgrind()?;
        return step("count", bench.arg("check").arg("--counted").arg(program("counted")));
    }
    install::brokers()?;
    bench.arg("compare").args(&args.bench).arg("--out").arg(target.join("bench"));
    bench.arg("--document").arg(root()?.join("docs/performance.md"));
    if args.bench.iter().any(|group| group == "peers") {
        bench.arg("--peers").arg(peers(&target)?);
    }
    step("compare", &mut bench)
}

/// Builds the cases of other libraries, in a folder of their own, and only if somebody asks for them: they need hundreds of crates.
fn peers(target: &Path) -> Result<PathBuf> {
    let target = target.join("peers");
    let mut build =
        cargo(&["build", "-q", "--locked", "--profile", "bench", "--manifest-path", "bench/peers/Cargo.toml"])?;
    step("build the cases of peers", build.arg("--target-dir").arg(&target))?;
    Ok(target.join("release/swarrot-peers"))
}
