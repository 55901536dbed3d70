//! A publisher and a worker whose broker, queue, limits and layers come from a file.
//!
//! ```text
//! cargo run --example configured --features config                        # embedded, needs nothing
//! cargo run --example configured --features config -- my.toml             # with a file of yours; see examples/swarrot.toml
//! BROKER_URL=amqp://guest:guest@localhost/ cargo run --example configured --features config
//! ```

use std::time::Duration;

use swarrot::config::Config;
use swarrot::prelude::*;
use tokio::time::Instant;

/// What is in the file if none is named.
const TEXT: &str = r#"
[brokers]
main = "${BROKER_URL:-memory://}"

[topology.main]
exchanges.users = "topic"
queues."configured.mails" = {}
bindings = [{ exchange = "users", queue = "configured.mails", routing_key = "user.*" }]

[publishers."user.registered"]
exchange = "users"
routing_key = "user.registered"

[workers.mails]
queue = "configured.mails"
concurrency = 4
max_messages = 6
layers = [
    { layer = "retry", list = ["300ms", "1s"] },
    { layer = "timeout", limit = "5s" },
]
"#;

/// The second one fails twice.
async fn send_mail(State(start): State<Instant>, name: String, Attempt(attempt): Attempt) -> Result<(), BoxError> {
    let at = start.elapsed().as_millis();
    if name == "Charles" && attempt < 3 {
        println!("{at:>5} ms  ✗ {name}, attempt {attempt}: the mail server is busy");
        return Err("the mail server is busy".into());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    println!("{at:>5} ms  ✓ {name}, attempt {attempt}: sent");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let config = match std::env::args().nth(1) {
        Some(file) => Config::load(file)?,
        None => Config::parse(TEXT)?,
    };

    // In the web request: the message type is all that the program knows.
    for name in ["Ada", "Charles", "Grace", "Alan"] {
        config.publish("user.registered", Message::new(name)).await?;
    }

    // In the worker: its name.
    let report = config.worker("mails").await?.state(Instant::now()).run(send_mail).await?;
    println!("\n{report}");
    config.close().await?;
    Ok(())
}
