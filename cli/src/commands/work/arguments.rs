//! What `swarrot work` is told.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use swarrot::Worker;
use swarrot::layer::Retry;

use crate::parse;

/// Runs a command for each message of a queue
#[derive(Debug, clap::Args)]
#[command(long_about = super::help::WORK)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the user's")]
pub(crate) struct Args {
    /// The queue; with --config the name of a worker in the file
    pub(crate) queue: String,
    /// Takes the broker, the queues, the limits and the layers of the worker from this file, a swarrot.toml; what is told here
    /// goes before it, and --retry goes inside of its layers
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) config: Option<PathBuf>,
    /// The command and its arguments; all that follows belongs to it
    #[arg(long, required = true, num_args = 1.., allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) exec: Vec<std::ffi::OsString>,
    /// Messages worked on at once: 1, unless told
    #[arg(long, short = 'c')]
    concurrency: Option<NonZeroUsize>,
    /// Messages held at once, those that wait for their turn included; twice the concurrency unless told
    #[arg(long)]
    prefetch: Option<NonZeroU16>,
    /// When to try again: 30s..30m*3 are delays that double from the first to the second, three retries; 10s*5 is the same
    /// delay five times; 30s,3m,30m is a list. Each delay is drawn between half of it and the whole. Without --config it is
    /// 30s..30m*3, unless told
    #[arg(long, value_name = "DELAYS", value_parser = parse::retry)]
    retry: Option<Retry>,
    /// Parks at once what would be tried again
    #[arg(long, conflicts_with_all = ["retry", "config"])]
    no_retry: bool,
    /// Tries again whatever the exit code is
    #[arg(long, conflicts_with = "no_retry")]
    pub(crate) retry_all: bool,
    /// Stops a command that takes longer: a SIGTERM for it and its children, and SIGKILL ten seconds later
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Ends after so many messages
    #[arg(long, value_name = "NUMBER")]
    max_messages: Option<NonZeroU64>,
    /// Ends after this time
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    max_time: Option<Duration>,
    /// Ends once this process, without its commands, uses more memory, such as 512M
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    memory_limit: Option<u64>,
    /// Ends once the queue is empty
    #[arg(long)]
    stop_when_empty: bool,
    /// At a stop, waits so long for commands to end before it kills them: 30s, unless told
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    deadline: Option<Duration>,
    /// At a stop, lets commands finish instead of sending them a SIGTERM
    #[arg(long)]
    pub(crate) let_finish: bool,
    /// Runs in so many processes, and starts those again that end: at once after a limit, later and later after a failure
    #[arg(long, value_name = "NUMBER")]
    pub(crate) processes: Option<NonZeroUsize>,
    /// Which of them this is
    #[arg(long, hide = true, env = super::pool::MEMBER, hide_env = true)]
    pub(crate) member: Option<u16>,
    /// Serves /healthz (503 when the worker is deaf), /inflight and /metrics (Prometheus) over HTTP, such as on 127.0.0.1:9090;
    /// with --processes each on a port of its own, counted from this one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health: Option<SocketAddr>,
    /// Ends with a failure once the broker has only failed for this long; never, unless told
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    give_up_after: Option<Duration>,
}

impl Args {
    /// When to try again; `None` if the file decides, or never.
    pub(crate) fn retry(&self) -> Option<Retry> {
        let usual = || Retry::exponential(Duration::from_secs(30), Duration::from_secs(30 * 60));
        let retry = self.retry.clone().or_else(|| (!self.no_retry && self.config.is_none()).then(usual));
        retry.map(Retry::jitter)
    }

    /// A worker as they say, but for its layers.
    pub(crate) fn apply<L>(&self, worker: Worker<L>) -> Worker<L> {
        let mut worker = worker;
        if let Some(messages) = self.concurrency {
            worker = worker.concurrency(messages.get());
        }
        if let Some(time) = self.deadline {
            worker = worker.deadline(time);
        }
        if let Some(prefetch) = self.prefetch {
            worker = worker.prefetch(prefetch);
        }
        if let Some(messages) = self.max_messages {
            worker = worker.max_messages(messages.get());
        }
        if let Some(time) = self.max_time {
            worker = worker.max_time(time);
        }
        if let Some(bytes) = self.memory_limit {
            worker = worker.max_memory(bytes);
        }
        if let Some(time) = self.give_up_after {
            worker = worker.give_up_after(time);
        }
        if self.stop_when_empty { worker.stop_when_empty() } else { worker }
    }
}
