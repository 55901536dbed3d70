//! Receiving and publishing while connections break.

use swarrot_core::{Delivery, MessageProvider};
use tokio::time::{Instant, sleep};

use super::{PATIENCE, ProviderActions as _, ms};

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
