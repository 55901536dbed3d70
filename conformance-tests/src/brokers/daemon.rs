//! A program that runs in the background and is known by its pid file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::BrokerError;
use super::process::Process;

/// Waits for a word before it becomes the program, so that the program never runs without its pid file.
const LAUNCHER: &str = r#"read -r go && exec "$@" < /dev/null"#;

/// A program that runs in a process group of its own and is known by a pid file, `<name>.pid`, in a folder.
#[derive(Debug)]
pub(super) struct Daemon {
    name: &'static str,
    dir: PathBuf,
    /// Waits for the process that was started last from here, lest it stay as a zombie.
    waiter: Mutex<Option<JoinHandle<()>>>,
}

impl Daemon {
    pub(super) fn new(dir: &Path, name: &'static str) -> Self {
        Self { name, dir: dir.to_owned(), waiter: Mutex::new(None) }
    }

    /// Starts the program, with nothing in its environment but these and the search path.
    pub(super) fn spawn(
        &self,
        program: &Path,
        args: &[OsString],
        env: &[(&'static str, OsString)],
    ) -> Result<(), BrokerError> {
        self.launch(program, args, env).map_err(BrokerError::io(format!("start {}", program.display())))
    }

    fn launch(&self, program: &Path, args: &[OsString], env: &[(&'static str, OsString)]) -> io::Result<()> {
        let output = File::create(self.output())?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LAUNCHER, "sh"]).arg(program).args(args);
        clear_env(&mut command).envs(env.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.dir).process_group(0);
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn()?;
        let written = Process::new(child.id())
            .ok_or_else(|| io::Error::other("the process has no id"))
            .and_then(|process| fs::write(self.pid_file(), format!("{process}\n")))
            .and_then(|()| child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(b"go\n")));
        if written.is_err() {
            let _ = child.kill();
        }
        self.wait_for(child)?;
        written
    }

    fn wait_for(&self, mut child: Child) -> io::Result<()> {
        let waiter = std::thread::Builder::new().name(format!("wait-{}", self.name));
        let waiter = waiter.spawn(move || drop(child.wait()))?;
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiter);
        Ok(())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.pid().is_some()
    }

    /// Its process id, if it is alive.
    pub(super) fn pid(&self) -> Option<i32> {
        self.process().filter(|process| process.is_alive()).map(Process::id)
    }

    /// Its process, alive or not, if it was ever started.
    fn process(&self) -> Option<Process> {
        fs::read_to_string(self.pid_file()).ok()?.parse().ok()
    }

    /// Kills it with all that it started, and waits until it is gone.
    pub(super) fn kill(&self) -> Result<(), BrokerError> {
        self.end(Process::kill)
    }

    /// Asks it to end, and kills it if it has not after this time.
    pub(super) fn stop(&self, wait: Duration) -> Result<(), BrokerError> {
        self.end(|process| process.terminate(wait) || process.kill())
    }

    fn end(&self, end: impl FnOnce(Process) -> bool) -> Result<(), BrokerError> {
        if let Some(process) = self.process()
            && !end(process)
        {
            return Err(BrokerError::Unkillable(process.id()));
        }
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        waiter.map_or(Ok(()), JoinHandle::join).map_err(|_| BrokerError::Unkillable(0))
    }

    /// Where its standard output and error go.
    pub(super) fn output(&self) -> PathBuf {
        self.dir.join(self.name).with_extension("out")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join(self.name).with_extension("pid")
    }
}

/// Keeps the settings of other brokers, and of the user, away.
pub(super) fn clear_env(command: &mut Command) -> &mut Command {
    command.env_clear().env("LANG", "C.UTF-8");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}
