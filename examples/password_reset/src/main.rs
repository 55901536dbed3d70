//! The server and its worker in one process; the README tells how to run it.

use std::process::ExitCode;

use password_reset::config::Config;
use password_reset::http::{App, serve};
use password_reset::mail::Mailer;
use password_reset::queues::Queues;
use password_reset::worker::worker;
use swarrot::{BoxError, Reason, Report};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,lapin=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run().await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", Reason::from_error(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<Report, BoxError> {
    let config = Config::from_env()?;
    let mailer = Mailer::new(config.smtp_url.expose(), &config.from)?;
    let listener = TcpListener::bind(&config.http_addr).await.map_err(|e| format!("HTTP_ADDR: {e}"))?;

    let broker = swarrot::connect(config.broker_url.expose()).await?;
    let queues = Queues::new(&config.queue_prefix);
    broker.declare(&queues.topology()).await?;

    let (handle, run) = worker(&*broker, &queues, mailer, &config).await?;
    let worker = tokio::spawn(run);
    let app = App::new(&*broker, queues, config.site_url).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // The worker listens for signals; when it begins to stop, so does the server. When the server ends first, it has failed.
    let stopping = handle.clone();
    let served = serve(listener, app, async move { stopping.stopping().await }).await;
    handle.stop();

    let report = worker.await??;
    served?;
    broker.close().await?;
    Ok(report)
}
