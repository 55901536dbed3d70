//! A pool of workers on two queues: two send mails and share a rate limit; one makes thumbnails, fails now and then, and is
//! restarted. One clean stop, one report.
//!
//! ```text
//! cargo run --example pool                                    # embedded, needs nothing
//! cargo run --example pool -- amqp://guest:guest@localhost/   # the same on RabbitMQ
//! cargo run --example pool -- redis://localhost/              # the same on Redis
//! ```

use std::sync::Arc;
use std::time::Duration;

use swarrot::prelude::*;
use swarrot::{ReadyWorker, SupervisorReport};
use tokio::sync::Semaphore;
use tracing_subscriber::EnvFilter;

const MAILS: &str = "pool.mails";
const THUMBNAILS: &str = "pool.thumbnails";

/// Sends a mail.
async fn send(name: String, State(done): State<Arc<Semaphore>>) {
    println!("✓ mail to {name}");
    done.add_permits(1);
}

/// Makes a thumbnail; with every fourth picture its library loses its mind, and it is better to begin anew.
async fn shrink(number: String, Attempt(attempt): Attempt, State(done): State<Arc<Semaphore>>) -> Result<(), BoxError> {
    if number.parse::<u32>()?.is_multiple_of(4) && attempt == 1 {
        println!("✗ thumbnail {number}: the worker fails, and is restarted");
        return Err("the picture library is beside itself".into());
    }
    println!("✓ thumbnail {number}");
    done.add_permits(1);
    Ok(())
}

/// What workers are made of. A worker has a provider of its own; what they share is shared here.
#[derive(Clone)]
struct Pool {
    broker: Arc<dyn Broker>,
    limit: Arc<RateLimit>,
    done: Arc<Semaphore>,
}

impl Pool {
    async fn mailer(self) -> Result<ReadyWorker, BoxError> {
        let provider = self.broker.provider(MAILS, ProviderOptions::default()).await?;
        Ok(Worker::new(provider).concurrency(2).gate(self.limit).state(self.done).ready(send))
    }

    async fn thumbnailer(self) -> Result<ReadyWorker, BoxError> {
        let provider = self.broker.provider(THUMBNAILS, ProviderOptions::default()).await?;
        let soon = |_: &Delivery, error: &BoxError| Outcome::Retry {
            after: Duration::from_millis(200),
            reason: Some(Reason::from_error(&**error)),
        };
        Ok(Worker::new(provider).stop_on_error().on_error(soon).state(self.done).ready(shrink))
    }
}

pub(crate) async fn run(url: &str) -> Result<SupervisorReport, BoxError> {
    let broker = swarrot::connect(url).await?;
    broker.declare(&Topology::new().queue(Queue::new(MAILS)).queue(Queue::new(THUMBNAILS))).await?;

    // Elsewhere, in web requests.
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let mails = ["Ada", "Charles", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances"];
    let mails = mails.iter().map(|name| Outgoing::new(MAILS, Message::new(*name)));
    let thumbnails = (1..=9).map(|number| Outgoing::new(THUMBNAILS, Message::new(number.to_string())));
    let work: Vec<_> = mails.chain(thumbnails).collect();
    for result in publisher.publish(&work).await {
        result?;
    }

    // Here: each worker is made anew for each of its runs.
    let pool = Pool {
        broker: Arc::clone(&broker),
        limit: Arc::new(RateLimit::per_second(10)),
        done: Arc::new(Semaphore::new(0)),
    };
    let (mailers, thumbnailers) = (pool.clone(), pool.clone());
    let supervisor = Supervisor::new()
        .workers("mails", 2, move || mailers.clone().mailer())
        .worker("thumbnails", move || thumbnailers.clone().thumbnailer())
        .backoff(Duration::from_millis(100), Duration::from_secs(10))
        .max_restarts(20, Duration::from_secs(60));
    let handle = supervisor.handle();
    let running = tokio::spawn(supervisor.run());

    // A pool runs until a signal; this one's work is done when the last message is.
    let all = pool.done.acquire_many(work.len().try_into()?);
    let in_time = tokio::time::timeout(Duration::from_secs(30), all).await;
    handle.stop();
    let report = running.await??;
    broker.close().await?;
    in_time.map_err(|_| format!("not all was done in time\n{report}"))??.forget();
    Ok(report)
}

#[tokio::main]
#[cfg_attr(test, expect(dead_code, reason = "a test calls `run`"))]
async fn main() -> Result<(), BoxError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://".to_owned());
    println!("\n{}", run(&url).await?);
    Ok(())
}
