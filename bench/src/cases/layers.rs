//! Layers around a handler that does nothing, without a worker.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, bail};
use swarrot::prelude::*;
use swarrot::{Handler, Receipt};
use tower_layer::Layer;

use super::Options;
use crate::figures::Figures;
use crate::meter::Meter;

/// As many layers as the options say, each an async function that looks at what it passes on.
pub(super) async fn own(o: &Options) -> Result<Figures> {
    match o.parallelism {
        0 => time(o, Nothing).await,
        1 => time(o, Pass(Nothing)).await,
        10 => {
            let five = (Passing, Passing, Passing, Passing, Passing);
            time(o, (five, five).layer(Nothing)).await
        }
        other => bail!("no case has {other} layers: 0, 1, or 10"),
    }
}

/// The layers that most workers have.
pub(super) async fn ours(o: &Options) -> Result<Figures> {
    let retry = Retry::exponential(Duration::from_secs(30), Duration::from_secs(1800)).attempts(5).jitter();
    time(o, (retry, Timeout::new(Duration::from_secs(60))).layer(Nothing)).await
}

async fn time(o: &Options, handler: impl Handler) -> Result<Figures> {
    let message = Message::new(vec![b'x'; o.size]).id("an id");
    let delivery = Delivery::new("bench", Receipt::new(1, 1), message);
    let meter = Meter::new(o.messages);
    meter.begin();
    for _ in 0..o.messages {
        let outcome = handler.handle(black_box(delivery.clone())).await;
        black_box(outcome).map_err(|error| anyhow::anyhow!("{error}"))?;
        meter.hit();
    }
    Ok(meter.figures())
}

struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        black_box(&delivery);
        Ok(Outcome::Ack)
    }
}

#[derive(Clone, Copy)]
struct Passing;

impl<H> Layer<H> for Passing {
    type Service = Pass<H>;

    fn layer(&self, inner: H) -> Pass<H> {
        Pass(inner)
    }
}

/// What a user's own layer looks like: something before, something after.
struct Pass<H>(H);

impl<H: Handler> Handler for Pass<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let redelivered = black_box(delivery.redelivered());
        let result = self.0.handle(delivery).await;
        black_box((redelivered, result.is_ok()));
        result
    }
}
