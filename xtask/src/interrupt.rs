//! Ctrl-C, and what else asks this program to end: the running commands are ended first, and then brokers are.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

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

struct State {
    /// The process groups of the commands that run.
    running: Vec<Pid>,
    interrupted: bool,
}

static STATE: Mutex<State> = Mutex::new(State { running: Vec::new(), interrupted: false });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, SIGINT, SIGTERM and SIGHUP end the running commands, whose [`run`] then returns [`Interrupted`].
///
/// Where no command runs, and at the second signal, the program exits at once; brokers have their watchers.
///
/// # Errors
/// If the system refuses.
pub(crate) fn handle() -> Result<()> {
    listen().context("cannot handle signals")
}

fn listen() -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut int, mut term, mut hup) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let loop_for_ever = async move {
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
            end_what_runs();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(loop_for_ever))?;
    Ok(())
}

fn end_what_runs() {
    let mut state = state();
    if state.running.is_empty() {
        exit();
    }
    let signal = if state.interrupted { Signal::KILL } else { Signal::INT };
    for group in &state.running {
        // It may have ended just now.
        let _ = kill_process_group(*group, signal);
    }
    if state.interrupted {
        exit();
    }
    state.interrupted = true;
}

fn exit() -> ! {
    eprintln!("xtask: {Interrupted}");
    std::process::exit(EXIT_CODE.into())
}

/// Runs a command in a process group of its own, and waits for it.
///
/// # Errors
/// [`Interrupted`], when nothing of the group is left.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    run_watched(command, |_| ())
}

/// Runs a command as [`run`] does, and kills it and its group when it has not ended after this time.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_for(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    thread::scope(|scope| {
        // Nobody sends anything: the other end is dropped when the command has ended.
        let (ended, end) = mpsc::channel::<()>();
        let status = run_watched(command, |group| {
            scope.spawn(move || {
                if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
            });
        });
        drop(ended);
        status
    })
}

/// Hands the process group of the command to `watch` as soon as it runs.
fn run_watched(command: &mut Command, watch: impl FnOnce(Pid)) -> Result<ExitStatus> {
    let name = command.get_program().to_owned();
    let (mut child, group) = {
        // The lock is held until the group is known, so that no signal falls in between.
        let mut state = state();
        if state.interrupted {
            return Err(Interrupted.into());
        }
        let child = command.process_group(0).spawn().with_context(|| format!("cannot run {}", name.display()))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        state.running.extend(group);
        (child, group)
    };
    if let Some(group) = group {
        watch(group);
    }
    let status = child.wait().with_context(|| format!("cannot wait for {}", name.display()));
    let mut state = state();
    state.running.retain(|running| Some(*running) != group);
    if !state.interrupted {
        return status;
    }
    // Tests of signal handling may have taken the signal for theirs, and outlived cargo.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    Err(Interrupted.into())
}
