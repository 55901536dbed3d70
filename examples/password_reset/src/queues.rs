//! Where mails wait.

use swarrot::prelude::*;

/// The names of the two queues.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Mails that somebody is waiting for.
    pub resets: String,
    /// Mails that nobody is waiting for.
    pub newsletters: String,
}

impl Queues {
    /// The queues whose names begin with this.
    pub fn new(prefix: &str) -> Self {
        Self { resets: format!("{prefix}.resets"), newsletters: format!("{prefix}.newsletters") }
    }

    /// Both queues, each with its dead-letter queue.
    pub fn topology(&self) -> Topology {
        Topology::new().queue(Queue::new(&self.resets)).queue(Queue::new(&self.newsletters))
    }
}
