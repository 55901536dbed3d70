//! `cargo xtask fuzz`: strange input for all that decodes what strangers send, for a while.

use anyhow::{Context, Result, bail};

use crate::steps::{say, step};
use crate::{install, interrupt, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which of them; all if there is none. `cargo fuzz list` names them
    targets: Vec<String>,
    /// How long each is fed, in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Keeps in `fuzz/corpus` only what reaches code that nothing else there reaches
    #[arg(long)]
    tidy: bool,
}

/// Runs each target, from the inputs that are kept in `fuzz/corpus`. What is found there is kept there too.
///
/// # Errors
/// If an input makes a target panic, hang or use much memory: it is in `fuzz/artifacts` then.
pub(crate) fn run(args: &Args) -> Result<()> {
    interrupt::handle()?;
    install::cargo_command("fuzz", &[])?;
    let all = targets()?;
    if let Some(unknown) = args.targets.iter().find(|target| !all.contains(target)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    let time = format!("-max_total_time={}", args.minutes * 60);
    for target in if args.targets.is_empty() { &all } else { &args.targets } {
        // No sanitizer: without unsafe code there is nothing for it to see, and it asks for a nightly compiler.
        let feed = ["fuzz", "run", "-s", "none", target, "--"];
        let limits = ["-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0", time.as_str()];
        step(target, workspace::cargo(&feed)?.args(limits))?;
        if args.tidy {
            step(&format!("{target}: tidy"), &mut workspace::cargo(&["fuzz", "cmin", "-s", "none", target])?)?;
        }
    }
    say("nothing that was fed did harm");
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let output = workspace::cargo(&["fuzz", "list"])?.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cannot list targets: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
