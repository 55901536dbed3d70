//! Receiving: one call at a time, held across turns, with pauses after errors of the broker.

use std::future::{pending, poll_fn};
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::ReusableBoxFuture;
use tracing::warn;

use super::gates::{Arrived, Permits};
use super::report::StopReason;
use super::settings::Settings;
use super::shared::Shared;
use crate::backoff::Backoff;
use crate::clock::later;
use crate::contract::{ConnectionState, MessageProvider};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::Flow;

/// How long a call may wait after an error, to tell soon that the broker is back.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// How much longer than it was told a call may take before it counts as unanswered.
const GRACE: Duration = Duration::from_secs(30);
/// The longest pause after an error. A provider paces its own tries to connect; a long pause here would only keep the
/// worker away from a broker that is back.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The pause after an empty answer that came too early.
const EARLY_PAUSE: Duration = Duration::from_secs(1);

/// The call that waits at the gates, and then for deliveries.
pub(super) struct Intake {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    wait: Duration,
    backoff: Backoff,
    /// There was an error, and no success since.
    failing: bool,
    /// The provider was connected when it answered the last time.
    heard: bool,
    /// Used again for each call.
    call: ReusableBoxFuture<'static, Result<Arrived>>,
    /// Whether a call is under way.
    waiting: bool,
    /// The most that the call may bring.
    asked: usize,
}

impl Intake {
    /// Waits for this long before it reports that nothing has arrived.
    pub(super) fn new(shared: Arc<Shared>, settings: Arc<Settings>, wait: Duration) -> Self {
        Self {
            shared,
            settings,
            wait,
            backoff: Backoff::new(Duration::from_millis(100), MAX_PAUSE),
            failing: false,
            heard: false,
            call: ReusableBoxFuture::new(pending()),
            waiting: false,
            asked: 0,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether a call that begins now is a look at the queue from its first moment: a provider that has yet to connect may
    /// wait in vain for a queue that is full.
    pub(super) fn hears(&self) -> bool {
        self.heard
    }

    /// Begins to wait for at most this many.
    pub(super) fn ask(&mut self, max: NonZeroUsize) {
        self.call(max, Duration::ZERO);
    }

    fn call(&mut self, max: NonZeroUsize, pause: Duration) {
        let wait = if self.failing { self.wait.min(PROBE_WAIT) } else { self.wait };
        let (shared, settings) = (Arc::clone(&self.shared), Arc::clone(&self.settings));
        self.call.set(async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            pass_and_receive(&shared, &settings, max, wait).await
        });
        self.waiting = true;
        self.asked = max.get();
    }

    /// Waits no more if more could arrive than there is room for now.
    pub(super) fn shrink(&mut self, room: usize) {
        if self.asked > room {
            self.drop_call();
        }
    }

    /// Waits no more; nothing is lost by it.
    pub(super) fn drop_call(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.call.set(pending());
        }
    }

    /// What has arrived: empty after a wait without deliveries, `None` after an error or its end. Pends while nobody asks.
    ///
    /// Cancel safe: the call stays.
    pub(super) async fn arrived(&mut self) -> Option<Arrived> {
        if !self.waiting {
            return pending().await;
        }
        let result = poll_fn(|cx| self.call.poll(cx)).await;
        self.waiting = false;
        let error = match result {
            Ok(deliveries) => {
                let probed = std::mem::take(&mut self.failing);
                self.heard = self.shared.provider.connection() == ConnectionState::Connected;
                // A provider that is still busy connecting has nothing to say either.
                if deliveries.is_empty() && self.shared.provider.connection() == ConnectionState::Connecting {
                    self.failing = probed;
                } else {
                    self.shared.counters.recoveries.add(u64::from(probed));
                    self.shared.received();
                    self.backoff.reset();
                }
                return if probed && deliveries.is_empty() { None } else { Some(deliveries) };
            }
            Err(error) => error,
        };
        self.failing = true;
        self.heard = false;
        if error.kind() == ErrorKind::Closed {
            self.shared.stop(StopReason::Closed);
            return None;
        }
        let since = self.shared.failed(&error);
        if !error.is_temporary() || self.settings.give_up_after.is_some_and(|limit| since.elapsed() >= limit) {
            self.shared.stop(StopReason::Broker(error));
            return None;
        }
        self.shared.counters.broker_errors.add(1);
        let pause = self.backoff.next_delay();
        warn!(queue = self.shared.provider.queue(), %error, ?pause, "the broker failed; going on after a pause");
        // One is enough to see whether the broker is back.
        self.call(NonZeroUsize::MIN, pause);
        None
    }
}

/// Passes the gates, then receives as many as they allow.
async fn pass_and_receive(shared: &Shared, settings: &Settings, max: NonZeroUsize, wait: Duration) -> Result<Arrived> {
    if settings.gates.is_empty() {
        return receive(&*shared.provider, max, wait).await.map(|came| Permits::default().used(came));
    }
    loop {
        let permits = settings.gates.enter(shared, max).await;
        let allowed = permits.deliveries().unwrap_or(max);
        let usual = settings.prefetch_for(*shared.concurrency.borrow());
        let narrow = settings.gates.flow() == Flow::Narrow;
        // What is in hand takes its part of the prefetch, and must not keep out what may come.
        let in_all = allowed.saturating_add(shared.unsettled());
        let most = if narrow { NonZeroU16::try_from(in_all).unwrap_or(usual) } else { usual };
        shared.set_prefetch(usual.min(most)).await;
        tokio::select! {
            // First: what is ready by now stays where it is.
            biased;
            () = permits.revoked() => {}
            received = receive(&*shared.provider, allowed, wait) => return received.map(|came| permits.used(came)),
        }
    }
}

async fn receive(provider: &dyn MessageProvider, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
    let end = later(Instant::now(), wait);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let deliveries = timeout(left + GRACE, provider.receive(max, left)).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, "no answer").with_operation("receive").with_target(provider.queue())
        })??;
        let early = end.saturating_duration_since(Instant::now());
        if !deliveries.is_empty() || early.is_zero() {
            return Ok(deliveries);
        }
        // Someone else has stopped the provider, so that it answers at once: asked again without a pause, it would keep
        // a processor busy until it is closed.
        sleep(early.min(EARLY_PAUSE)).await;
    }
}
