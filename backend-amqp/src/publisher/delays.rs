//! Which delay queues are there, for one channel of a publisher, and the declaration of those that are not.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use swarrot_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::task::Wiring;
use crate::topology::delay::Bucket;
use crate::topology::{Desk, inspect};

/// How old a quorum queue must be before a confirmation of its is to be trusted. RabbitMQ writes down the name of a new
/// one a second late, or more where it is busy; a server that is killed before forgets its content (seen on 3.10 and 4.0).
const RIPE: Duration = Duration::from_secs(3);
/// Declarations at one time; each takes a channel.
const AT_ONCE: usize = 16;
/// Targets that are known to exist; beyond, they are looked up anew.
const TARGETS: usize = 4096;

/// A delay queue, and where its messages go on to.
type Way = (Bucket, String);
/// Whether it was made just now.
type Declaring = Pin<Box<dyn Future<Output = (Way, Result<bool>)> + Send>>;

/// What is known to be there.
pub(super) struct Delays {
    wiring: Arc<Wiring>,
    buckets: HashSet<Bucket>,
    /// From when on each is old enough. This stays true over reconnects.
    ripe: HashMap<Bucket, Instant>,
    targets: HashSet<String>,
    declaring: FuturesUnordered<Declaring>,
    /// The messages that wait for a declaration.
    waiting: HashMap<Way, Vec<u64>>,
    /// What is used in the place of delay queues that do not confirm.
    replaced: HashMap<Bucket, Bucket>,
}

impl Delays {
    pub(super) fn new(wiring: Arc<Wiring>) -> Self {
        Self {
            wiring,
            buckets: HashSet::new(),
            ripe: HashMap::new(),
            targets: HashSet::new(),
            declaring: FuturesUnordered::new(),
            waiting: HashMap::new(),
            replaced: HashMap::new(),
        }
    }

    /// The one to use in the place of this one, if it is of no use.
    pub(super) fn replacement(&self, bucket: &Bucket) -> Option<&Bucket> {
        std::iter::successors(self.replaced.get(bucket), |next| self.replaced.get(next)).last()
    }

    /// Uses this one no more: the server works, and does not confirm what is published to it.
    pub(super) fn replace(&mut self, bucket: &Bucket) {
        if self.wiring.remembered.is_passive() || self.replaced.contains_key(bucket) {
            return;
        }
        if let Some(next) = bucket.replacement() {
            tracing::warn!(
                queue = bucket.name(),
                replacement = next.name(),
                "a delay queue does not confirm, and is used no more: delete it if it has no leader"
            );
            self.replaced.insert(bucket.clone(), next);
        }
    }

    /// Whether a message for this target may be sent to this delay queue.
    pub(super) fn are_there(&self, bucket: &Bucket, target: &str) -> bool {
        self.buckets.contains(bucket) && (!bucket.to_queues() || self.targets.contains(target))
    }

    /// Begins to make sure of them for this message; false if too much is under way.
    pub(super) fn begin(&mut self, bucket: &Bucket, target: &str, id: u64) -> bool {
        let way = (bucket.clone(), target.to_owned());
        if let Some(waiting) = self.waiting.get_mut(&way) {
            waiting.push(id);
            return true;
        }
        if self.declaring.len() >= AT_ONCE {
            return false;
        }
        self.waiting.insert(way.clone(), vec![id]);
        let wiring = Arc::clone(&self.wiring);
        self.declaring.push(Box::pin(async move {
            let result = declare(&wiring, &way).await;
            (way, result)
        }));
        true
    }

    /// Waits for a declaration, and says which messages waited for it.
    ///
    /// Cancel safe.
    pub(super) async fn done(&mut self) -> (Vec<u64>, Result<()>) {
        let Some((way, result)) = self.declaring.next().await else { return std::future::pending().await };
        let waiting = self.waiting.remove(&way).unwrap_or_default();
        let result = result.map(|made| {
            if self.targets.len() >= TARGETS {
                self.targets.clear();
            }
            let (bucket, target) = way;
            self.targets.insert(target);
            // One that is seen for the first time may have been made by another process a moment ago.
            let ripe = Instant::now() + RIPE;
            let known = self.ripe.entry(bucket.clone()).or_insert(ripe);
            if made {
                *known = ripe;
            }
            self.buckets.insert(bucket);
        });
        (waiting, result)
    }

    /// When a confirmation of this delay queue may be trusted, if not yet.
    pub(super) fn ripe_at(&self, bucket: &Bucket, now: Instant) -> Option<Instant> {
        self.ripe.get(bucket).copied().filter(|ripe| *ripe > now)
    }

    /// This one is not there any more.
    pub(super) fn forget_one(&mut self, bucket: &Bucket) {
        self.buckets.remove(bucket);
    }

    /// The server may have been another since.
    pub(super) fn forget(&mut self) {
        self.buckets.clear();
        self.targets.clear();
    }
}

/// Makes sure that a delay queue exists, and the queue to which it leads; whether the former was made just now.
async fn declare(wiring: &Wiring, (bucket, target): &Way) -> Result<bool> {
    let mut desk = Desk::new(&wiring.receive);
    let made = bucket.declare(&mut desk, wiring.remembered.is_passive()).await?;
    if bucket.to_queues() {
        inspect(&mut desk, target).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::Unroutable, "no queue has this name; declare it first")
                .with_target(target)
                .with_source(error),
            _ => error,
        })?;
    }
    Ok(made)
}
