//! Ctrl-C, and what else asks this program to end: the running command is ended first, and then brokers are.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// As shells have it for SIGINT.
pub(crate) const EXIT_CODE: u8 = 130;

/// The user asked for the end.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

#[derive(Default)]
struct State {
    /// The process group of the command that runs.
    running: Option<Pid>,
    interrupted: bool,
}

static STATE: Mutex<State> = Mutex::new(State { running: None, interrupted: false });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, a signal ends the running command, whose [`run`] then returns [`Interrupted`].
///
/// Where no command runs, and at the second signal, the program exits at once; brokers have their watchers.
///
/// # Errors
/// If it was called before.
pub(crate) fn handle() -> Result<()> {
    ctrlc::set_handler(|| {
        let mut state = state();
        match state.running {
            Some(group) if !state.interrupted => {
                state.interrupted = true;
                // It may have ended just now.
                let _ = kill_process_group(group, Signal::INT);
            }
            Some(group) => {
                let _ = kill_process_group(group, Signal::KILL);
                std::process::exit(EXIT_CODE.into());
            }
            None => std::process::exit(EXIT_CODE.into()),
        }
    })
    .context("cannot handle signals")
}

/// Runs a command in a process group of its own, and waits for it.
///
/// # Errors
/// [`Interrupted`], when nothing of the group is left.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let name = command.get_program().to_owned();
    let mut child = {
        // The lock is held until the group is known, so that no signal falls in between.
        let mut state = state();
        let child = command.process_group(0).spawn().with_context(|| format!("cannot run {}", name.display()))?;
        state.running = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        child
    };
    let status = child.wait().with_context(|| format!("cannot wait for {}", name.display()));
    let mut state = state();
    let group = state.running.take();
    if !state.interrupted {
        return status;
    }
    // Tests of signal handling may have taken the signal for theirs, and outlived cargo.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    Err(Interrupted.into())
}
