//! Sends the mails that wait, resets before newsletters, and tries again later and later.

use std::future::Future;
use std::sync::Arc;

use swarrot::prelude::*;
use swarrot::{PriorityProvider, Report, Result, WorkerError};

use crate::config::Config;
use crate::mail::{Mail, Mailer};
use crate::queues::Queues;

/// A worker on both queues: its handle, and the future that runs it.
///
/// # Errors
/// If a queue does not exist.
pub async fn worker(
    broker: &dyn Broker,
    queues: &Queues,
    mailer: Mailer,
    config: &Config,
) -> Result<(WorkerHandle, impl Future<Output = Result<Report, WorkerError>> + Send + use<>)> {
    let resets = broker.provider(&queues.resets, ProviderOptions::default()).await?;
    let newsletters = broker.provider(&queues.newsletters, ProviderOptions::default()).await?;
    let both = PriorityProvider::strict([resets, newsletters])?;
    let worker = Worker::new(Arc::new(both))
        .concurrency(config.concurrency)
        .state(mailer)
        .layer(Retry::list(config.retry_delays.iter().copied()).jitter())
        // A mail server that has gone quiet fails too.
        .layer(Timeout::new(config.mail_timeout));
    Ok((worker.handle(), worker.run(send)))
}

/// What fails is tried again by the layer above; what the SMTP server refuses for good is parked, with its answer.
async fn send(delivery: Delivery, Json(mail): Json<Mail>, mailer: State<Mailer>) -> Result<(), BoxError> {
    mailer.send(delivery.id(), &mail).await?;
    tracing::info!(id = delivery.id(), queue = delivery.queue(), "mail sent");
    Ok(())
}
