//! Several processes of one worker.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use swarrot::Backoff;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::note;
use crate::session::Session;
use crate::stop::Stop;

/// Tells a process that it is one of several, and which, from 0. Its stdin ends when their parent does.
pub(crate) const MEMBER: &str = "SWARROT_MEMBER";
/// What has run so long was not started in vain.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// Between two starts at least, even after a limit was reached.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs this command in so many processes, and starts those again that end, until a signal.
///
/// One that has reached a limit is started again at once; that is what limits are for. After a failure it waits, longer and
/// longer, and so it does if it cannot be started. One that is done, since its queue is empty, stays ended.
///
/// # Errors
/// If not even the first process can be started.
pub(crate) async fn run(processes: usize, session: &Session) -> Result<Exit> {
    session.stop.only_notice();
    // Asked once: when another version is put in its place, the system calls the program that we run a deleted one.
    let program = Arc::new(env::current_exe().map_err(|error| cannot_start(&error))?);
    let mut members = JoinSet::new();
    for index in 0..processes {
        members.spawn(keep_running(index, Arc::clone(&program), session.stop.clone()));
    }
    let mut exit = Exit::Done;
    while let Some(ended) = members.join_next().await {
        let ended = ended.map_err(|error| Failure::new(format!("a task panicked: {error}")))?;
        match ended {
            Ok(Exit::Usage) => exit = Exit::Usage,
            Ok(_) => {}
            Err(error) => return Err(cannot_start(&error)),
        }
    }
    Ok(if session.stop.is_asked() { Exit::Signal } else { exit })
}

fn cannot_start(error: &io::Error) -> Failure {
    Failure::new(format!("cannot start another process: {error}"))
}

/// Whether each process can serve its health on a port of its own, counted from this one.
///
/// # Errors
/// If there are too few, or nobody would know them.
pub(super) fn check_ports(first: SocketAddr, processes: usize) -> Result<()> {
    if first.port() == 0 {
        return Err(Failure::usage("with --processes, --health needs a port above 0, from which theirs are counted"));
    }
    let last = usize::from(first.port()).saturating_add(processes - 1);
    if last > usize::from(u16::MAX) {
        let line = format!("--health of {processes} processes would end at the port {last}, above 65535; begin lower");
        return Err(Failure::usage(line));
    }
    Ok(())
}

/// Starts one process again and again.
///
/// # Errors
/// If the first process of all cannot be started at all.
async fn keep_running(index: usize, program: Arc<PathBuf>, stop: Stop) -> io::Result<Exit> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let mut is_first = index == 0;
    while !stop.is_asked() {
        let began = Instant::now();
        let mut child = match start(&program, index) {
            Ok(child) => child,
            Err(error) if is_first => return Err(error),
            // The system has no room for it now, or another version of the program is just being put there.
            Err(error) => {
                let pause = backoff.next_delay();
                let seconds = pause.as_secs_f64();
                note(format_args!("swarrot: process {index} cannot be started ({error}); again in {seconds:.1} s"));
                wait_for(pause, &stop).await;
                continue;
            }
        };
        is_first = false;
        let status = wait(&mut child, &stop).await?;
        if stop.is_asked() {
            break;
        }
        let code = status.code();
        if code == Some(Exit::Done.code().into()) {
            return Ok(Exit::Done);
        }
        if code == Some(Exit::Usage.code().into()) {
            // It would end in the same way again.
            return Ok(Exit::Usage);
        }
        if began.elapsed() >= LONG_ENOUGH {
            backoff.reset();
        }
        let limit = code == Some(Exit::Limit.code().into());
        let pause = if limit { PAUSE.saturating_sub(began.elapsed()) } else { PAUSE.max(backoff.next_delay()) };
        if !limit {
            note(format_args!(
                "swarrot: process {index} ended ({status}); another one starts in {:.1} s",
                pause.as_secs_f64()
            ));
        }
        wait_for(pause, &stop).await;
    }
    Ok(Exit::Signal)
}

async fn wait_for(pause: Duration, stop: &Stop) {
    tokio::select! {
        () = sleep(pause) => {}
        () = stop.asked() => {}
    }
}

fn start(program: &Path, index: usize) -> io::Result<Child> {
    let mut command = Command::new(program);
    // In a group of its own, so that a Ctrl-C on a terminal reaches it once, from us.
    command.args(env::args_os().skip(1)).env(MEMBER, index.to_string()).stdin(Stdio::piped()).process_group(0).spawn()
}

/// Waits for its end, and hands signals on.
async fn wait(child: &mut Child, stop: &Stop) -> io::Result<ExitStatus> {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // Held open for as long as we live.
    let _stdin = child.stdin.take();
    let mut signals = 0;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            () = stop.asked_times(signals + 1) => {
                signals += 1;
                if let Some(id) = id {
                    // It may have ended by now.
                    let _ = kill_process(id, Signal::TERM);
                }
            }
        }
    }
}
