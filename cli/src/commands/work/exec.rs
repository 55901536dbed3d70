//! The handler that runs a command for each message.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use swarrot::{BoxError, Delivery, Handler, Outcome, Permanent, WorkerHandle};
use tokio::process::Command;
use tokio::time::Instant;

use super::Args;
use super::child::{self, Ended};
use super::environment;
use super::program::Program;
use super::timeout::Deadline;
use crate::session::Session;
use crate::stop::Stop;

/// `EX_TEMPFAIL` of `sysexits.h`: try again later.
const TRY_LATER: i32 = 75;

/// Runs a command for each message.
#[derive(Debug)]
pub(crate) struct Exec {
    program: Program,
    retry_all: bool,
    let_finish: bool,
    /// Standard output carries our report, so that theirs goes to stderr.
    report_on_stdout: bool,
    stop: Stop,
    worker: WorkerHandle,
    /// Why no command can be started at all.
    broken: Arc<OnceLock<String>>,
}

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Exec {
    pub(crate) fn new(
        program: Program,
        args: &Args,
        session: &Session,
        worker: WorkerHandle,
        broken: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            program,
            retry_all: args.retry_all,
            let_finish: args.let_finish,
            report_on_stdout: session.output.is_json(),
            stop: session.stop.clone(),
            worker,
            broken,
        }
    }

    fn command(&self, delivery: &Delivery) -> Command {
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments);
        if self.report_on_stdout {
            command.stdout(Stdio::from(io::stderr()));
        }
        environment::set(&mut command, delivery);
        command
    }

    /// What becomes of the message after a run.
    fn judge(&self, ended: &Ended) -> Result<Outcome, BoxError> {
        if ended.status.success() {
            return Ok(Outcome::Ack);
        }
        if ended.interrupted {
            // We ended it; that is no failed attempt.
            return Ok(Outcome::Release);
        }
        let failed = Failed(ended.reason());
        let passes = self.retry_all || ended.timed_out || ended.status.code().is_none_or(|code| code == TRY_LATER);
        Err(if passes { failed.into() } else { Permanent::new(failed).into() })
    }

    /// What becomes of the message if its command could not be started.
    fn could_not_start(&self, command: &Command, error: &io::Error) -> Result<Outcome, BoxError> {
        let line = child::cannot_start(command, error).line().to_owned();
        // A script without a first line such as #!/bin/sh: the system has no kind for that.
        let no_program = error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error());
        match error.kind() {
            // This message is too much for the system.
            io::ErrorKind::ArgumentListTooLong => Err(Permanent::new(Failed(line)).into()),
            // None will start, so that no message should pay for it.
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(self.none_will_start(line)),
            _ if no_program => {
                Ok(self.none_will_start(format!("{line}; a script begins with a line such as #!/bin/sh")))
            }
            // Too many processes, or no memory: that passes.
            _ => Err(Failed(line).into()),
        }
    }

    /// Stops the worker, and gives the message back.
    fn none_will_start(&self, why: String) -> Outcome {
        let _ = self.broken.set(why);
        self.worker.stop();
        Outcome::Release
    }
}

impl Handler for Exec {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let limit = Deadline::of(&delivery);
        if limit.is_some_and(|limit| limit <= Instant::now()) {
            // Another try of one that took it all.
            return Err(Failed(child::TOO_LONG.to_owned()).into());
        }
        let mut command = self.command(&delivery);
        let stop = async {
            self.stop.asked().await;
            if self.let_finish {
                std::future::pending::<()>().await;
            }
        };
        match child::run(&mut command, delivery.body(), limit, stop).await {
            Ok(ended) => self.judge(&ended),
            Err(error) => self.could_not_start(&command, &error),
        }
    }
}
