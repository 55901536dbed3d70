//! Receiving and publishing while connections break.

use swarrot_core::{Delivery, ErrorKind, MessageProvider, MessagePublisher, Outcome, Outgoing, Settlement};
use tokio::time::{Instant, sleep};

use super::{Ledger, PATIENCE, ProviderActions as _, ms, secs};

/// So many deliveries, from a provider whose connection breaks meanwhile: temporary errors are expected, others are not.
/// What is received more often than asked for stays unsettled.
#[track_caller]
pub(crate) fn reconnected(provider: &dyn MessageProvider, count: usize) -> impl Future<Output = Vec<Delivery>> + Send {
    let at = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE * 2;
        let mut taken = Vec::new();
        let mut last_error = None;
        while taken.len() < count {
            assert!(
                Instant::now() < deadline,
                "{at}: {} of {count} messages came from {:?} after its connection broke; the last error: {last_error:?}",
                taken.len(),
                provider.queue()
            );
            match provider.up_to(count - taken.len(), ms(500)).await {
                Ok(some) => taken.extend(some),
                Err(error) if error.is_temporary() => {
                    last_error = Some(error);
                    // A provider must not be asked in a busy loop, should it answer at once.
                    sleep(ms(20)).await;
                }
                Err(error) => panic!("{at}: a broken connection is no reason to give up: {error:?}"),
            }
        }
        taken
    }
}

/// Publishes one message, again and again with the same id, until the broker has it: what a caller does whose message
/// matters. The connection may break meanwhile.
#[track_caller]
pub(crate) fn insist(publisher: &dyn MessagePublisher, outgoing: &Outgoing) -> impl Future<Output = ()> + Send {
    let at = std::panic::Location::caller();
    let batch = [outgoing.clone()];
    async move {
        let deadline = Instant::now() + PATIENCE * 3;
        while let Err(error) = publisher.publish(&batch).await.remove(0) {
            assert!(error.is_temporary(), "{at}: a broken connection is a temporary error: {error:?}");
            assert!(Instant::now() < deadline, "{at}: the connection was not mended: {error:?}");
            sleep(ms(50)).await;
        }
    }
}

/// Receives and acks until all that was confirmed has come, and then until nothing more comes. The connection may break
/// meanwhile: acks that are lost with it show as duplicates.
#[track_caller]
pub(crate) fn drained(provider: &dyn MessageProvider, ledger: &Ledger) -> impl Future<Output = ()> + Send {
    let at = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE * 6;
        let mut quiet_since = None;
        loop {
            assert!(Instant::now() < deadline, "{at}: not all came: {}", ledger.counts());
            match provider.up_to(100, ms(200)).await {
                Ok(some) if some.is_empty() && ledger.outstanding() == 0 => {
                    if quiet_since.get_or_insert_with(Instant::now).elapsed() >= secs(1) {
                        return;
                    }
                }
                Ok(some) => {
                    quiet_since = None;
                    ledger.received_all(&some);
                    let acks: Vec<_> = some.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
                    if let Err(error) = provider.settle(&acks).await {
                        let expected =
                            error.failures().iter().all(|(_, e)| e.is_temporary() || e.kind() == ErrorKind::Stale);
                        assert!(expected, "{at}: {error:?}");
                    }
                }
                Err(error) => {
                    assert!(error.is_temporary(), "{at}: a broken connection is no reason to give up: {error:?}");
                    sleep(ms(20)).await;
                }
            }
        }
    }
}

/// Acks deliveries whose connection broke, until each is acked or stale, and answers with both. Only a lease outlives its
/// connection: where there is none, all are stale.
#[track_caller]
pub(crate) fn acked_or_stale(
    provider: &dyn MessageProvider,
    deliveries: Vec<Delivery>,
) -> impl Future<Output = (Vec<Delivery>, Vec<Delivery>)> + Send {
    let at = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE * 2;
        let (mut acked, mut stale) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            loop {
                match provider.try_settle(&delivery, Outcome::Ack).await {
                    Ok(()) => break acked.push(delivery),
                    Err(error) if error.is_all(ErrorKind::Stale) => break stale.push(delivery),
                    Err(error) => {
                        let temporary = error.failures().iter().all(|(_, error)| error.is_temporary());
                        assert!(temporary && Instant::now() < deadline, "{at}: neither acked nor stale: {error:?}");
                        sleep(ms(50)).await;
                    }
                }
            }
        }
        if provider.capabilities().lease.is_none() {
            assert!(acked.is_empty(), "{at}: acked over another connection than that of the delivery: {acked:?}");
        }
        (acked, stale)
    }
}
