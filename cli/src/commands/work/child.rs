//! One run of the command: a process group of its own, its input, and the end of its complaints.

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, interval, sleep_until, timeout, timeout_at};

use crate::failure::Failure;

/// Between SIGTERM and SIGKILL, after a time-out and for what a command leaves behind that was told to end.
const GRACE: Duration = Duration::from_secs(10);
/// How often it looks whether the children have ended: the system tells nobody but their parent.
const LOOK: Duration = Duration::from_millis(20);
/// How long stderr is read once the command has ended: a process that it left behind may keep it open.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Why a run failed that did not end in time.
pub(crate) const TOO_LONG: &str = "it took too long";
/// Bytes of stderr that are kept.
const TAIL: usize = 1024;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The end of what it wrote to stderr.
    pub(crate) said: String,
    /// It took too long, and was told to end.
    pub(crate) timed_out: bool,
    /// It was told to end because the worker stops.
    pub(crate) interrupted: bool,
}

/// Runs a command to its end, with this as its input. At the limit it is told to end.
///
/// # Errors
/// If it cannot be started.
///
/// # Cancel safety
/// Dropping the future kills the command with its children.
pub(crate) async fn run(
    command: &mut Command,
    input: &[u8],
    limit: Option<Instant>,
    stop: impl Future<Output = ()>,
) -> io::Result<Ended> {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let mut group = Group::of(&child);
    let stdin = child.stdin.take();
    let mut feed = pin!(async move {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    });
    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let (mut timed_out, mut interrupted, mut has_input, mut silent) = (false, false, false, false);
    // Far away where there is no limit.
    let mut deadline = limit.unwrap_or_else(|| Instant::now() + Duration::from_secs(86400 * 365));
    let status = {
        let mut listen = pin!(listen(stderr, &mut said));
        let mut stop = pin!(stop);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut feed, if !has_input => has_input = true,
                () = &mut listen, if !silent => silent = true,
                () = &mut stop, if !interrupted && !timed_out => {
                    interrupted = true;
                    group.signal(Signal::TERM);
                }
                () = sleep_until(deadline) => {
                    group.signal(if timed_out { Signal::KILL } else { Signal::TERM });
                    timed_out = true;
                    deadline = Instant::now() + GRACE;
                }
            }
        };
        if interrupted || timed_out {
            // Its children were told to end as well, and another attempt must not run beside them.
            let until = if timed_out { deadline } else { Instant::now() + GRACE };
            let mut emptied = pin!(timeout_at(until, group.emptied()));
            let in_time = loop {
                tokio::select! {
                    in_time = &mut emptied => break in_time.is_ok(),
                    () = &mut listen, if !silent => silent = true,
                }
            };
            if !in_time {
                group.signal(Signal::KILL);
            }
        }
        group.has_ended();
        if !silent {
            let _ = timeout(LAST_WORDS, listen).await;
        }
        status
    };
    Ok(Ended { status, said: tail(&said), timed_out, interrupted })
}

/// The processes of a run; killed when dropped before the run has ended.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // They may have ended by now.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits until none of them is left, once the first one has ended. Cancel safe.
    async fn emptied(&self) {
        let Some(group) = self.0 else { return };
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            // Orphans are ours where this process is the first one of a container, and count until they are waited for.
            while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
            if test_kill_process_group(group) == Err(Errno::SRCH) {
                return;
            }
        }
    }

    /// Its number may be another's from now on.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Hands stderr on to ours, and keeps its end.
async fn listen(stderr: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        // Ours may be closed; that is no failure of the command.
        let _ = io::stderr().lock().write_all(&buffer[..read]);
        said.extend_from_slice(&buffer[..read]);
        if said.len() > 2 * TAIL {
            said.drain(..said.len() - TAIL);
        }
    }
}

fn tail(said: &[u8]) -> String {
    let from = said.len().saturating_sub(TAIL);
    String::from_utf8_lossy(&said[from..]).trim().to_owned()
}

impl Ended {
    /// What happened, in one line.
    pub(crate) fn reason(&self) -> String {
        let mut reason = match (self.timed_out, self.status.code(), self.status.signal()) {
            (true, ..) => TOO_LONG.to_owned(),
            (_, Some(code), _) => format!("exit code {code}"),
            (_, _, Some(signal)) => format!("ended by signal {signal}"),
            _ => self.status.to_string(),
        };
        if !self.said.is_empty() {
            reason.push_str(": ");
            reason.push_str(&self.said);
        }
        reason
    }
}

/// Why a command cannot be started.
pub(crate) fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    Failure::new(format!("cannot start {program:?}: {error}"))
}
