//! The task that hands replies to the requests that wait for them.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use super::requester::Shared;
use crate::backoff::Backoff;
use crate::contract::{DeadLetter, MessageProvider, ProviderOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Outcome;
use crate::settlement::{SettleError, Settlement};

/// Replies that are fetched in advance.
const PREFETCH: NonZeroU16 = NonZeroU16::new(256).expect("not zero");
/// Replies that are taken in one call.
const MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// How long one call waits.
const WAIT: Duration = Duration::from_secs(60);
/// How long one call waits while something is still to be settled.
const WAIT_UNSETTLED: Duration = Duration::from_secs(1);

/// Declares the queue for replies, and a provider of it.
pub(super) async fn open(shared: &Shared) -> Result<Arc<dyn MessageProvider>> {
    shared.broker.declare(&shared.topology()).await?;
    let options = ProviderOptions::default().prefetch(PREFETCH).dead_letter(DeadLetter::Drop);
    shared.broker.provider(&shared.queue.name, options).await
}

/// Hands out replies until the requester or the broker is closed; whatever else fails is mended.
pub(super) async fn run(shared: Arc<Shared>, provider: Arc<dyn MessageProvider>) {
    let mut provider = provider;
    let mut backoff = Backoff::default();
    let mut acks = Vec::new();
    let closed = loop {
        let wait = if acks.is_empty() { WAIT } else { WAIT_UNSETTLED };
        let received = tokio::select! {
            biased;
            () = shared.closing.notified() => break provider.close().await,
            received = provider.receive(MAX, wait) => received,
        };
        let error = match received {
            Ok(replies) => {
                backoff.reset();
                for reply in replies {
                    if !shared.pending.answer(reply.message()) {
                        let id = reply.message().properties.correlation_id.as_deref();
                        debug!(queue = reply.queue(), correlation_id = id, "nobody waits for a reply; it is dropped");
                    }
                    acks.push(Settlement::new(reply.receipt(), Outcome::Ack));
                }
                settle(&*provider, &mut acks).await;
                continue;
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Closed {
            break Ok(());
        }
        warn!(queue = shared.queue.name, %error, "replies are not received at the moment");
        tokio::select! {
            () = sleep(backoff.next_delay()) => {}
            () = shared.closing.notified() => break provider.close().await,
        }
        if !error.is_temporary() {
            // Someone may have deleted the queue.
            acks.clear();
            match open(&shared).await {
                Ok(opened) => provider = opened,
                Err(error) if error.kind() == ErrorKind::Closed => break Ok(()),
                Err(error) => warn!(queue = shared.queue.name, %error, "the queue for replies was not declared again"),
            }
        }
    };
    shared.pending.close();
    if let Err(error) = closed {
        debug!(queue = shared.queue.name, %error, "the provider of replies did not close cleanly");
    }
}

/// Settles, and keeps what has to be tried again.
async fn settle(provider: &dyn MessageProvider, acks: &mut Vec<Settlement>) {
    if acks.is_empty() {
        return;
    }
    let failures = provider.settle(acks).await.err().map(SettleError::into_failures).unwrap_or_default();
    let gone = |error: &Error| matches!(error.kind(), ErrorKind::Stale | ErrorKind::Closed);
    let again: HashSet<_> = failures.iter().filter(|(_, error)| !gone(error)).map(|(receipt, _)| *receipt).collect();
    acks.retain(|ack| again.contains(&ack.receipt));
}
