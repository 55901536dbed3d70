//! What `swarrot work` is told.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use swarrot::Worker;
use swarrot::config::Changes;

use super::layers::Layers;
use crate::parse;

/// Runs a command for each message of a queue
#[derive(Debug, clap::Args)]
#[command(long_about = super::help::WORK)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the user's")]
pub(crate) struct Args {
    /// The queue; with --config the name of a worker in the file
    pub(crate) queue: String,
    /// Takes the broker, the queues, the limits and the layers of the worker from this file; what is told here goes before it
    #[arg(long, value_name = "FILE", conflicts_with = "url", num_args = 0..=1, default_missing_value = "swarrot.toml")]
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
    /// Tries again whatever the exit code is
    #[arg(long, conflicts_with = "no-retry")]
    pub(crate) retry_all: bool,
    /// Ends after so many messages
    #[arg(long, value_name = "NUMBER")]
    max_messages: Option<NonZeroU64>,
    /// Whatever the file says, does not end after a number of messages
    #[arg(long, conflicts_with = "max_messages", hide_short_help = true)]
    no_max_messages: bool,
    /// Ends after this time
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    max_time: Option<Duration>,
    /// Whatever the file says, does not end after a time
    #[arg(long, conflicts_with = "max_time", hide_short_help = true)]
    no_max_time: bool,
    /// Ends once this process, without its commands, uses more memory, such as 512M
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    memory_limit: Option<u64>,
    /// Whatever the file says, does not end for the memory that it uses
    #[arg(long, conflicts_with = "memory_limit", hide_short_help = true)]
    no_memory_limit: bool,
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
    #[command(flatten)]
    layers: Layers,
}

impl Args {
    /// What is told here and goes before the file.
    pub(crate) fn changes(&self) -> Changes {
        let without = [
            (self.no_max_messages, "--no-max-messages", "max_messages"),
            (self.no_max_time, "--no-max-time", "max_time"),
            (self.no_memory_limit, "--no-memory-limit", "max_memory"),
        ];
        let asked = without.into_iter().filter(|(is_asked, ..)| *is_asked);
        asked.fold(self.layers.0.clone(), |changes, (_, flag, key)| changes.without(flag, key))
    }

    /// A worker as they say, but for what is in [`changes`](Self::changes).
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
