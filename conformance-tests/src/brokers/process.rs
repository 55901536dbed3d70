//! Processes by their id, whoever started them.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};

const KILL_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A process that leads a process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: Pid,
    /// In clock ticks since the system started, where the system tells: an id that was used again has another.
    started: Option<u64>,
}

impl Process {
    pub(super) fn new(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some(Self { pid, started: stat(pid).map(|stat| stat.started) })
    }

    pub(super) fn id(self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// A process that ended but was not waited for by its parent is not alive.
    pub(super) fn is_alive(self) -> bool {
        match stat(self.pid) {
            Some(stat) => !stat.ended && self.started.is_none_or(|started| started == stat.started),
            None => !Path::new("/proc/self/stat").exists() && test_kill_process(self.pid).is_ok(),
        }
    }

    /// Asks it to end, and waits; `false` if it is still there after that time.
    pub(super) fn terminate(self, wait: Duration) -> bool {
        if self.is_alive() {
            let _ = kill_process_group(self.pid, Signal::TERM);
        }
        self.wait(wait)
    }

    /// Kills it and its group, and waits until it is gone; `false` if it is still there after a long time.
    pub(super) fn kill(self) -> bool {
        if self.is_alive() {
            // It may have ended just now.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        self.wait(KILL_WAIT)
    }

    fn wait(self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }
}

/// What a command prints and how it ends; `None` if it does not within this time, and is killed with all that it started.
pub(super) fn output_within(command: &mut Command, wait: Duration) -> io::Result<Option<Output>> {
    let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = Process::new(child.id()).ok_or_else(|| io::Error::other("the process has no id"))?;
    let (told, ended) = mpsc::sync_channel(1);
    std::thread::spawn(move || told.send(child.wait_with_output()));
    if let Ok(output) = ended.recv_timeout(wait) {
        return output.map(Some);
    }
    process.kill();
    Ok(None)
}

/// As a pid file holds it: the id, a space, and the time it started at, if known.
impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.id())?;
        self.started.map_or(Ok(()), |started| write!(f, "{started}"))
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (pid, started) = text.trim_end_matches('\n').split_once(' ').ok_or(())?;
        let pid = pid.parse().ok().and_then(Pid::from_raw).ok_or(())?;
        let started = if started.is_empty() { None } else { Some(started.parse().map_err(drop)?) };
        Ok(Self { pid, started })
    }
}

struct Stat {
    ended: bool,
    started: u64,
}

/// What Linux tells in `/proc`; elsewhere nothing.
fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, in parentheses, may contain anything; what follows is the third field.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    // While other threads are still ending, its ports and files are still open.
    Some(Stat { ended: zombie && threads <= 1, started })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn what_does_not_end_is_killed() {
        let quick = output_within(Command::new("echo").arg("done"), KILL_WAIT).expect("it runs").expect("in time");
        assert_eq!(quick.stdout, b"done\n");
        let start = Instant::now();
        // The child holds the pipe open, as a grandchild would.
        let slow = output_within(Command::new("sh").args(["-c", "sleep 60 & sleep 60"]), Duration::from_millis(50));
        assert!(slow.expect("it runs").is_none());
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn knows_the_living_from_the_dead() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().expect("sleep");
        let process = Process::new(child.id()).expect("its id");
        // Where the system does not tell zombies apart, somebody has to wait for it.
        let waiter = std::thread::spawn(move || child.wait());
        assert!(process.is_alive());
        assert_eq!(process.to_string().parse(), Ok(process));
        if let Some(started) = process.started {
            let other = Process { started: Some(started - 1), ..process };
            assert!(!other.is_alive(), "an id that was used again is another process");
        }
        assert!(process.kill());
        assert!(!process.is_alive());
        let status = waiter.join().expect("no panic").expect("its status");
        assert_eq!(status.signal(), Some(9));
    }
}
