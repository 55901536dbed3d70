//! A publisher and a worker: welcome mails, one of which cannot be delivered.
//!
//! ```text
//! cargo run --example quickstart                                    # embedded, needs nothing
//! cargo run --example quickstart -- amqp://guest:guest@localhost/   # the same on RabbitMQ
//! cargo run --example quickstart -- redis://localhost/              # the same on Redis
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use swarrot::prelude::*;
use tracing_subscriber::EnvFilter;

#[derive(Serialize, Deserialize)]
struct Welcome {
    name: String,
    address: String,
}

/// The slow part of a registration. Its argument is the decoded body; an error is retried by the layer below.
async fn send_welcome(Json(welcome): Json<Welcome>, Attempt(attempt): Attempt) -> Result<(), BoxError> {
    if !welcome.address.contains('@') {
        println!("✗ {:<8} attempt {attempt}: no mail server takes {:?}", welcome.name, welcome.address);
        return Err(format!("no mail server takes {:?}", welcome.address).into());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    println!("✓ {:<8} welcome mail sent to {}", welcome.name, welcome.address);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://".to_owned());

    let broker = swarrot::connect(&url).await?;
    broker.declare(&Topology::new().queue(Queue::new("quickstart.welcome"))).await?;

    // Elsewhere, in a web request: answered as soon as the broker has the message.
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    for (name, address) in [("Ada", "ada@example.org"), ("Charles", "nowhere"), ("Grace", "grace@example.org")] {
        let message = Message::json(&Welcome { name: name.to_owned(), address: address.to_owned() })?;
        publisher.publish_one(Outgoing::new("quickstart.welcome", message)).await?;
        println!("→ {name:<8} published");
    }

    // Here, in a worker: until a signal, or until everything has come to an end.
    let provider = broker.provider("quickstart.welcome", ProviderOptions::default()).await?;
    let worker = Worker::new(provider)
        .concurrency(4)
        .layer(Retry::exponential(Duration::from_millis(300), Duration::from_secs(10)).attempts(4))
        .layer(Timeout::new(Duration::from_secs(30)));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(send_welcome));

    // The dead-letter queue was declared along with its queue. A worker runs until it is told to stop; this one's work is done when the last message is sent or parked.
    let parked = broker.provider("quickstart.welcome.dead", ProviderOptions::default()).await?;
    let dead = parked.receive(std::num::NonZeroUsize::MIN, Duration::from_secs(30)).await?;
    for delivery in &dead {
        let failure = delivery.message().failure().ok_or("a dead letter says why it failed")?;
        println!(
            "† parked in {} after {} attempts: {}",
            delivery.queue(),
            failure.attempts,
            failure.reason.unwrap_or_default()
        );
        parked.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await?;
    }
    handle.stop();
    println!("\n{}", running.await??);
    broker.close().await?;
    Ok(())
}
