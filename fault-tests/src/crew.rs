//! The processes that publish and work.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::books::Books;
use crate::ledger;

/// How often processes are looked after.
const TICK: Duration = Duration::from_millis(100);

/// A process of ours.
#[derive(Debug)]
pub(crate) struct Member {
    role: Role,
    name: String,
    args: Vec<String>,
    /// How often it was started.
    life: u32,
    child: Child,
    /// It ends when this does; waiting for the child would close it.
    _leash: Option<ChildStdin>,
    log: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Worker,
}

/// All processes, and what they have written.
#[derive(Debug)]
pub(crate) struct Crew {
    dir: PathBuf,
    pub(crate) publishers: Vec<Member>,
    pub(crate) workers: Vec<Member>,
    pub(crate) books: Books,
    /// Workers may end by themselves, and are started again.
    pub(crate) crashes_expected: bool,
    pub(crate) crashes: u32,
    /// What should not have happened.
    pub(crate) problems: Vec<String>,
    /// How the processes were, once a second or less often.
    pub(crate) samples: Vec<Sample>,
    sampled: Instant,
}

/// How a process was at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) life: u32,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    /// KiB.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) files: u64,
    /// Lines logged so far.
    pub(crate) log_lines: u64,
}

impl Crew {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            publishers: Vec::new(),
            workers: Vec::new(),
            books: Books::default(),
            crashes_expected: false,
            crashes: 0,
            problems: Vec::new(),
            samples: Vec::new(),
            sampled: Instant::now(),
        }
    }

    /// Starts one more; the arguments are those of its subcommand but for the ledger.
    pub(crate) fn hire(&mut self, role: Role, args: Vec<String>) -> Result<()> {
        let members = if role == Role::Publisher { &mut self.publishers } else { &mut self.workers };
        let name = format!("{}{}", if role == Role::Publisher { "p" } else { "w" }, members.len());
        members.push(Member::start(&self.dir, &mut self.books, role, name, args, 0)?);
        Ok(())
    }

    /// Lets time pass, and looks after the processes.
    ///
    /// # Errors
    /// If a ledger cannot be read.
    pub(crate) async fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(TICK.min(end.saturating_duration_since(Instant::now()))).await;
            self.tend()?;
        }
        Ok(())
    }

    /// Waits until it is so; `false` if it is not within this time.
    ///
    /// # Errors
    /// As [`pass`](Self::pass).
    pub(crate) async fn until(&mut self, most: Duration, mut so: impl FnMut(&mut Self) -> bool) -> Result<bool> {
        let end = Instant::now() + most;
        loop {
            self.tend()?;
            if so(self) {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
            sleep(TICK).await;
        }
    }

    fn tend(&mut self) -> Result<()> {
        for index in 0..self.workers.len() {
            if let Some(status) = self.workers[index].child.try_wait()? {
                self.crashes += 1;
                if !self.crashes_expected {
                    self.problems.push(format!("{} ended by itself: {status}", self.workers[index].title()));
                }
                self.start_again(index)?;
            }
        }
        self.books.refresh()?;
        self.sample();
        Ok(())
    }

    /// Kills a worker, which has no chance to put anything in order, and starts another.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) async fn kill_worker(&mut self, index: usize) -> Result<()> {
        self.workers[index].child.kill().await?;
        self.start_again(index)
    }

    /// Asks a worker to end, waits until it has, and starts another.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub(crate) async fn stop_worker(&mut self, index: usize, most: Duration) -> Result<()> {
        self.workers[index].signal(Signal::TERM);
        if let Err(error) = self.workers[index].ended(most).await {
            self.problems.push(format!("{error:#}"));
        }
        self.start_again(index)
    }

    fn start_again(&mut self, index: usize) -> Result<()> {
        let old = &self.workers[index];
        let (name, args, life) = (old.name.clone(), old.args.clone(), old.life + 1);
        self.workers[index] = Member::start(&self.dir, &mut self.books, Role::Worker, name, args, life)?;
        Ok(())
    }

    /// Asks all publishers to end, and waits until they have nothing left to confirm.
    ///
    /// # Errors
    /// If a ledger cannot be read.
    pub(crate) async fn end_publishers(&mut self, most: Duration) -> Result<()> {
        for publisher in &self.publishers {
            publisher.signal(Signal::TERM);
        }
        self.await_publishers(most).await
    }

    /// Waits until all publishers have ended.
    ///
    /// # Errors
    /// If a ledger cannot be read.
    pub(crate) async fn await_publishers(&mut self, most: Duration) -> Result<()> {
        let end = Instant::now() + most;
        for mut publisher in std::mem::take(&mut self.publishers) {
            loop {
                match publisher.child.try_wait()? {
                    Some(status) if status.success() => break,
                    Some(status) => {
                        self.problems.push(format!("{} ended with {status}", publisher.title()));
                        break;
                    }
                    None if Instant::now() > end => {
                        self.problems.push(format!("{} does not end", publisher.title()));
                        publisher.child.kill().await?;
                        break;
                    }
                    None => self.pass(TICK).await?,
                }
            }
        }
        Ok(())
    }

    /// Whether a publisher is at work.
    pub(crate) fn is_publishing(&mut self) -> bool {
        self.publishers.iter_mut().any(|publisher| matches!(publisher.child.try_wait(), Ok(None)))
    }

    /// Asks all workers to end, and waits until they have.
    ///
    /// # Errors
    /// If a ledger cannot be read.
    pub(crate) async fn end_workers(&mut self, most: Duration) -> Result<()> {
        let mut workers = std::mem::take(&mut self.workers);
        for worker in &workers {
            worker.signal(Signal::TERM);
        }
        for worker in &mut workers {
            if let Err(error) = worker.ended(most).await {
                self.problems.push(format!("{error:#}"));
            }
        }
        self.books.refresh()
    }

    fn sample(&mut self) {
        if self.sampled.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.sampled = Instant::now();
        for member in self.publishers.iter().chain(&self.workers) {
            self.samples.extend(member.sample());
        }
    }
}

impl Member {
    fn start(dir: &Path, books: &mut Books, role: Role, name: String, args: Vec<String>, life: u32) -> Result<Self> {
        let file = |what: &str| dir.join(format!("{name}.{life}.{what}"));
        let (ledger, log) = (file("ledger"), file("log"));
        let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(if role == Role::Publisher { "publisher" } else { "worker" });
        command.args(&args).arg("--ledger").arg(&ledger);
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        // Not with the terminal's Ctrl-C, but with this process.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start a process")?;
        books.add(ledger);
        let leash = child.stdin.take();
        Ok(Self { role, name, args, life, child, _leash: leash, log })
    }

    fn title(&self) -> String {
        format!("{} (log: {})", self.name, self.log.display())
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    }

    /// Waits for the end after SIGTERM.
    async fn ended(&mut self, most: Duration) -> Result<ExitStatus> {
        let Ok(status) = timeout(most, self.child.wait()).await else {
            self.child.kill().await?;
            bail!("{} did not end within {most:?} of SIGTERM", self.title());
        };
        let status = status?;
        if !status.success() {
            bail!("{} ended with {status} after SIGTERM", self.title());
        }
        Ok(status)
    }

    fn sample(&self) -> Option<Sample> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()?));
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Some(Sample {
            role: self.role,
            name: self.name.clone(),
            life: self.life,
            at: ledger::now(),
            memory: number("VmRSS:")?,
            threads: number("Threads:")?,
            files: fs::read_dir(folder.join("fd")).ok()?.count() as u64,
            log_lines: log.lines().count() as u64,
        })
    }
}
