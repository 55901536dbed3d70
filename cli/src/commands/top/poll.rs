//! Looking at queues and workers.

use std::time::Instant;

use futures_util::future::join_all;
use swarrot::{Broker, ErrorKind};

use super::model::Seen;
use super::workers;
use crate::failure::{Failure, Result, one_line_of};

/// What to look at.
#[derive(Debug)]
pub(super) struct Poll<'a> {
    broker: &'a dyn Broker,
    queues: &'a [String],
    workers: &'a [String],
}

impl<'a> Poll<'a> {
    pub(super) fn new(broker: &'a dyn Broker, queues: &'a [String], workers: &'a [String]) -> Self {
        Self { broker, queues, workers }
    }

    pub(super) fn broker(&self) -> &'a dyn Broker {
        self.broker
    }

    /// Looks once.
    ///
    /// # Errors
    /// If a queue does not exist.
    pub(super) async fn look(&self) -> Result<Seen> {
        let queues = async {
            let mut all = Vec::with_capacity(self.queues.len());
            for queue in self.queues {
                all.push(match self.broker.stats(queue).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Err(Failure::from(error)),
                    stats => stats.map_err(|error| one_line_of(&error)),
                });
            }
            Ok(all)
        };
        let workers = join_all(self.workers.iter().map(|address| workers::in_flight(address)));
        let (queues, workers) = tokio::join!(queues, workers);
        Ok(Seen { at: Instant::now(), queues: queues?, workers })
    }
}
