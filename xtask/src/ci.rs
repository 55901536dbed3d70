//! `cargo xtask ci`: all that has to pass before a change is merged.

use std::time::Instant;

use anyhow::Result;

use crate::steps::{say, seconds, step};
use crate::workspace::cargo;
use crate::{bench, install, test, tidy, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leaves a step out; may be repeated
    #[arg(long, value_enum)]
    skip: Vec<Step>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// Formatting
    Fmt,
    /// Lints, warnings denied
    Clippy,
    /// Documentation, warnings denied
    Docs,
    /// Each feature of each crate alone
    Features,
    /// Conventions
    Tidy,
    /// Lock files of the workspaces beside this one
    Locks,
    /// Licences and sources of dependencies
    Deny,
    /// Instructions and allocations of the worker, the layers and the memory backend
    Count,
    /// All tests
    Test,
}

const STEPS: [Step; 9] =
    [Step::Fmt, Step::Clippy, Step::Docs, Step::Features, Step::Tidy, Step::Locks, Step::Deny, Step::Count, Step::Test];

/// Does all steps, the quick ones first.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let mut times = Vec::new();
    for current in STEPS.into_iter().filter(|step| !args.skip.contains(step)) {
        let before = Instant::now();
        current.run()?;
        times.push(format!("{} {}", current.name(), seconds(before.elapsed())));
    }
    say(format_args!("all passed in {}: {}", seconds(started.elapsed()), times.join(", ")));
    Ok(())
}

impl Step {
    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => step(self.name(), &mut cargo(&["fmt", "--all", "--check"])?),
            Self::Clippy => step(self.name(), &mut cargo(&CLIPPY)?),
            Self::Docs => step(self.name(), cargo(&DOC)?.env("RUSTDOCFLAGS", "-Dwarnings")),
            Self::Features => features(),
            Self::Tidy => tidy::run(&tidy::Args::check()),
            Self::Locks => locks(),
            Self::Deny => deny(),
            Self::Count => bench::run(&bench::Args::quick_check()),
            Self::Test => test::run(&test::Args::default()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
            Self::Features => "features",
            Self::Tidy => "tidy",
            Self::Locks => "locks",
            Self::Deny => "deny",
            Self::Count => "count",
            Self::Test => "test",
        }
    }
}

const CLIPPY: [&str; 8] = ["clippy", "-q", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
const DOC: [&str; 5] = ["doc", "-q", "--workspace", "--all-features", "--no-deps"];

/// Each publishable crate without features, and with each of them alone.
fn features() -> Result<()> {
    for package in workspace::packages()?.iter().filter(|package| package.is_publishable()) {
        let name = &package.name;
        check_alone(&format!("{name} without features"), name, &[])?;
        for feature in package.features() {
            check_alone(&format!("{name} with {feature} alone"), name, &["--features", feature])?;
        }
    }
    Ok(())
}

/// Without its tests, whose dependencies would turn more features on.
fn check_alone(what: &str, package: &str, features: &[&str]) -> Result<()> {
    let mut clippy = cargo(&["clippy", "-q", "-p", package, "--no-default-features"])?;
    step(what, clippy.args(features).args(["--", "-D", "warnings"]))
}

/// A dependency that one of ours has got has to be in the lock files of others too: they are built with `--locked`, and rarely.
fn locks() -> Result<()> {
    for beside in ["bench/peers", "fuzz"] {
        let mut update = cargo(&["update", "-q", "--workspace", "--locked", "--manifest-path"])?;
        step(&format!("the lock file of {beside}"), update.arg(format!("{beside}/Cargo.toml")))?;
    }
    Ok(())
}

/// What `deny.toml` says, but for advisories: those come from a server that is not asked while a change is tested, and change by
/// themselves. `cargo deny check` asks it.
fn deny() -> Result<()> {
    // A debug build takes a third of the time, and there is little to check.
    install::cargo_command("deny", &["--debug"])?;
    step("deny", &mut cargo(&["deny", "--log-level", "warn", "check", "bans", "licenses", "sources"])?)
}
