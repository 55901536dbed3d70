//! The server and its worker in one process; the README tells how to run it.

use password_reset::config::Config;
use password_reset::http::{App, serve};
use password_reset::mail::Mailer;
use password_reset::queues::Queues;
use password_reset::worker::worker;
use swarrot::{BoxError, PublisherOptions};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,lapin=error"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let config = Config::from_env()?;

    let broker = swarrot::connect(&config.broker_url).await?;
    let queues = Queues::new(&config.queue_prefix);
    broker.declare(&queues.topology()).await?;

    let mailer = Mailer::new(&config.smtp_url, &config.from)?;
    let (handle, run) = worker(&*broker, &queues, mailer, &config).await?;
    let worker = tokio::spawn(run);

    let listener = TcpListener::bind(&config.http_addr).await.map_err(|e| format!("HTTP_ADDR: {e}"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let app = App { publisher, queues, site_url: config.site_url };
    // The worker listens for signals; when it begins to stop, so does the server.
    serve(listener, app, async move { handle.stopping().await }).await?;

    println!("{}", worker.await??);
    broker.close().await?;
    Ok(())
}
