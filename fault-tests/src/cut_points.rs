//! Connections that end, or stall, behind each frame of a short life: to publish, receive, settle, retry, park and stop.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use swarrot::prelude::*;
use swarrot_conformance::proxy::{Direction, Proxy};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::account::Account;
use crate::books::Books;
use crate::ledger::{Deed, now};
use crate::load::{Keeping, topology};
use crate::target::Target;
use crate::trial::{Findings, drain};

/// Lives that go on at once.
const AT_ONCE: usize = 8;
/// For one life, however it is cut.
const LIFE: Duration = Duration::from_secs(120);
/// Longer than it takes to notice that a connection is dead.
const FROZEN: Duration = Duration::from_secs(9);
const PAUSE: Duration = Duration::from_millis(50);
const IDS: [&str; 3] = ["cut.a.k", "cut.b.t", "cut.c.h"];

/// How a connection fails at a cut point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Ended,
    Frozen,
}

/// Where and how.
#[derive(Clone, Copy, Debug)]
struct Point {
    direction: Direction,
    frames: u64,
    how: How,
}

/// Lives once for each cut point, or for one in so many.
///
/// # Errors
/// If there is no first life to count the frames of.
pub(crate) async fn run(target: &Target, how: How, each: usize) -> Result<Findings> {
    let started = Instant::now();
    let target = Arc::new(Place {
        addr: target.servers.addrs()[0],
        direct: target.direct_url(),
        keeping: target.backend.keeping(),
        is_amqp: target.backend.is_amqp(),
    });
    let points = target.points(how).await?;
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut lives = JoinSet::new();
    for point in points.into_iter().step_by(each) {
        let (target, slots) = (Arc::clone(&target), Arc::clone(&slots));
        lives.spawn(async move {
            let _slot = slots.acquire_owned().await;
            target.life(point).await.with_context(|| format!("{point:?}"))
        });
    }
    let mut findings = Findings::default();
    while let Some(life) = lives.join_next().await {
        match life? {
            Ok((account, cut)) => {
                findings.account.add(&account);
                findings.struck += usize::from(cut);
            }
            Err(error) => findings.problems.push(format!("{error:#}")),
        }
    }
    findings.elapsed = started.elapsed();
    Ok(findings)
}

/// A server, and how to live there.
#[derive(Debug)]
struct Place {
    addr: std::net::SocketAddr,
    direct: String,
    keeping: Keeping,
    is_amqp: bool,
}

impl Place {
    /// All cut points of a life that is not cut.
    async fn points(&self, how: How) -> Result<Vec<Point>> {
        let proxy = Proxy::start(self.addr).await?;
        let queue = new_queue();
        let mut books = Books::default();
        self.live(&proxy, &queue, &mut books).await.context("a life without a cut")?;
        drain(&self.direct, &queue).await?;
        let counters = proxy.counters();
        let points =
            |direction| (0..counters.flow(direction).frames).map(move |frames| Point { direction, frames, how });
        Ok(points(Direction::ToServer).chain(points(Direction::ToClient)).collect())
    }

    /// What became of the messages, and whether the cut point was reached.
    async fn life(&self, point: Point) -> Result<(Account, bool)> {
        let proxy = Proxy::start(self.addr).await?;
        match point.how {
            How::Ended => proxy.cut_after_frames(point.direction, point.frames),
            How::Frozen => proxy.freeze_after_frames(point.direction, point.frames),
        }
        let queue = new_queue();
        let mut books = Books::default();
        let thaw = async {
            proxy.until(|counters| counters.cuts > 0).await;
            sleep(FROZEN).await;
            proxy.thaw();
            std::future::pending::<()>().await;
        };
        let lived = tokio::select! {
            lived = timeout(LIFE, self.live(&proxy, &queue, &mut books)) => lived,
            () = thaw => bail!("this never ends"),
        };
        lived.with_context(|| format!("not over after {LIFE:?}: {:?}", books.messages().collect::<Vec<_>>()))??;
        let leftovers = drain(&self.direct, &queue).await?;
        Ok((Account::of(&books, &leftovers, &[]), proxy.counters().cuts > 0))
    }

    async fn live(&self, proxy: &Proxy, queue: &str, books: &mut Books) -> Result<()> {
        let url = if self.is_amqp {
            format!("amqp://{}/?heartbeat=2", proxy.addr())
        } else {
            format!("redis://{}/0?lease=3s&timeout=3s", proxy.addr())
        };
        let broker = insist(|| swarrot::connect(&url)).await?;
        let topology = topology(queue, self.keeping);
        insist(|| broker.declare(&topology)).await?;
        let publisher = insist(|| broker.publisher("", PublisherOptions::default().timeout(FROZEN))).await?;
        for id in IDS {
            books.enter(now(), Deed::Sent, id.to_owned());
            let outgoing = || Outgoing::new(queue, Message::new(id).id(id));
            insist(|| publisher.publish_one(outgoing())).await?;
            books.enter(now(), Deed::Confirmed, id.to_owned());
        }
        let provider = insist(|| broker.provider(queue, ProviderOptions::default())).await?;
        let many = NonZeroUsize::new(10).expect("not zero");
        // Until each was not only handled, but settled.
        let mut settled = HashSet::new();
        while settled.len() < IDS.len() {
            for delivery in insist(|| provider.receive(many, Duration::from_secs(1))).await? {
                let id = delivery.id().to_owned();
                let (deed, outcome) = match id.as_str() {
                    "cut.b.t" if delivery.attempt() < 3 => (Deed::Failed, Outcome::retry(Duration::ZERO)),
                    "cut.c.h" => (Deed::GaveUp, Outcome::reject("hopeless")),
                    _ => (Deed::Done, Outcome::Ack),
                };
                books.enter(now(), deed, id.clone());
                let settlement = [Settlement::new(delivery.receipt(), outcome)];
                if settle(&*provider, &settlement).await? && deed != Deed::Failed {
                    settled.insert(id);
                }
            }
        }
        // Either may find its connection broken, which is no harm: what it held goes back by itself.
        for closed in [provider.close().await, publisher.close().await, broker.close().await] {
            if let Err(error) = closed
                && !error.is_temporary()
            {
                return Err(error).context("cannot stop");
            }
        }
        Ok(())
    }
}

/// Whether it is settled; it may be somebody else's by now.
async fn settle(provider: &dyn MessageProvider, settlement: &[Settlement]) -> Result<bool> {
    let end = Instant::now() + LIFE;
    loop {
        let Err(failed) = provider.settle(settlement).await else { return Ok(true) };
        let Some((_, error)) = failed.failures().first() else { return Ok(true) };
        match error.kind() {
            ErrorKind::Stale => return Ok(false),
            _ if error.is_temporary() && Instant::now() < end => sleep(PAUSE).await,
            _ => bail!("cannot settle: {error}"),
        }
    }
}

async fn insist<T, F: Future<Output = swarrot::Result<T>>>(call: impl Fn() -> F) -> Result<T> {
    let end = Instant::now() + LIFE;
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_temporary() && Instant::now() < end => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn new_queue() -> String {
    format!("cut.{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Pace;
    use crate::target::Backend;

    /// Some of the cut points; `cargo xtask faults` takes them all.
    async fn sample(backend: Backend) {
        let target = Target::start(backend, Pace::Steady).await.expect("a broker");
        for (how, each) in [(How::Ended, 5), (How::Frozen, 13)] {
            let findings = run(&target, how, each).await.expect("lives");
            assert!(findings.problems.is_empty(), "{:?}", findings.problems);
            assert_eq!((findings.account.lost, findings.account.wrongly_parked), (0, 0), "{:?}", findings.account);
            assert!(findings.struck > 2 && findings.account.delivered >= findings.account.confirmed, "{findings:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sample_on_rabbitmq() {
        sample(Backend::AmqpQuorum).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sample_on_redis() {
        sample(Backend::Redis).await;
    }
}
