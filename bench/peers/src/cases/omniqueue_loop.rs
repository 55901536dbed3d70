//! What omniqueue has in the place of a worker: a loop that one writes, whichever the broker.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use omniqueue::QueueConsumer;
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use crate::Options;
use crate::work;

/// Receives as many as there are, `most` at once, and handles and acknowledges them together.
pub(super) async fn consume(o: &Options, mut consumer: impl QueueConsumer, most: usize) -> Result<Figures> {
    let meter = Meter::new(o.messages);
    let mut left = o.messages;
    while left > 0 {
        let deliveries = consumer.receive_all(most, Duration::from_secs(10)).await?;
        ensure!(!deliveries.is_empty(), "nothing came, {left} are missing");
        left = left.checked_sub(deliveries.len() as u64).context("more came than were sent")?;
        try_join_all(deliveries.into_iter().map(|delivery| {
            meter.hit();
            delivery.ack()
        }))
        .await
        .map_err(|(error, _)| error)?;
    }
    work::figures(o, meter)
}
