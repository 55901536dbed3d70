//! Stop when nothing works any more.

mod builder;
mod verdict;
mod window;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

pub use self::verdict::Verdict;
use self::window::Window;
use super::promises::{Promises, Wait};
use super::{Flow, Gate, Permit};
use crate::clock::later;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// Stops fetching when too many messages fail, waits, and probes with a few whether it works again.
///
/// A mail server that is down fails every message, and retries of all of them use up their attempts for nothing. With a kill
/// switch the messages stay in the broker instead, where other workers may take them: what the provider has fetched in advance
/// is given back as well ([`pause`](crate::MessageProvider::pause)), which RabbitMQ before 4.3 counts as one delivery of each
/// message, once for each time the switch trips.
///
/// - *Passing*: deliveries pass. It trips once, within the [`window`](Self::window), there are as many
///   [`failures`](Self::failures) as set, and they are at least the set [`ratio`](Self::ratio) of all verdicts. Calls of
///   `receive` that wait are ended as well; handlers that run may finish, and no longer count.
/// - *Tripped*: nothing is fetched for the length of the [`pause`](Self::pause).
/// - *Probing*: so many deliveries pass as there are [`probes`](Self::probes). One failure trips it again, for twice as long
///   each time, up to [`max_pause`](Self::max_pause); once all have succeeded all may pass, and the next pause is as short as the first.
///   A probe that is given back or says nothing ([`Verdict::Neither`]) is followed by another. Put a [`Timeout`](crate::layer::Timeout)
///   around your handler: a probe that never ends keeps everyone waiting.
///
/// What is a failure is told by [`Verdict::of`], unless [`judge`](Self::judge) says otherwise. Workers that share it, by clones
/// of its `Arc`, stop and probe together: share it among those that depend on the same thing. Each further loop of a worker, or
/// worker, that waits at an empty queue may add one probe.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::gate::KillSwitch;
///
/// let switch = KillSwitch::new().failures(20).ratio(0.8).window(Duration::from_secs(30)).pause(Duration::from_secs(15));
/// ```
pub struct KillSwitch {
    failures: u64,
    ratio: f64,
    window: Duration,
    pause: Duration,
    max_pause: Duration,
    probes: usize,
    judge: Judge,
    state: Mutex<State>,
    changed: Notify,
}

type Judge = Arc<dyn Fn(&Delivery, &Result<Outcome, BoxError>) -> Verdict + Send + Sync>;

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Permits up to this tag are of an earlier phase: what comes of them tells nothing about this one.
    earlier: u64,
    promises: Promises,
    /// The length of the next pause.
    next_pause: Duration,
    trips: u64,
}

#[derive(Debug)]
enum Phase {
    Passing(Window),
    Tripped { until: Instant, why: String },
    Probing { under_way: usize, passed: usize },
}

impl State {
    /// Goes on to this phase. Permits of the phase before are good no more.
    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.earlier = self.promises.last_tag();
        self.promises.clear();
    }

    fn is_current(&self, permit: Permit) -> bool {
        permit.tag() > self.earlier
    }
}

impl KillSwitch {
    /// Whether it lets nothing pass, or only probes.
    pub fn is_tripped(&self) -> bool {
        !matches!(self.lock().phase, Phase::Passing(_))
    }

    /// How often it has tripped, probes that failed included.
    pub fn trips(&self) -> u64 {
        self.lock().trips
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit, or when to look again; `None` if only once something has changed.
    fn try_enter(&self, max: NonZeroUsize, now: Instant) -> Result<Permit, Option<Instant>> {
        let mut state = self.lock();
        if let Phase::Tripped { until, .. } = &state.phase {
            if *until > now {
                return Err(Some(*until));
            }
            state.begin(Phase::Probing { under_way: 0, passed: 0 });
        }
        let State { phase, promises, .. } = &mut *state;
        match phase {
            Phase::Probing { under_way, passed } => {
                let free = self.probes.saturating_sub(*under_way + *passed);
                promises.make(free, max, now).map_err(|Wait { until }| until)
            }
            _ => Ok(promises.tag(max)),
        }
    }

    /// Counts a verdict on a delivery.
    fn count(&self, permit: Permit, verdict: Verdict) {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.is_current(permit) {
            return;
        }
        match &mut state.phase {
            Phase::Passing(window) => {
                window.count(verdict, now);
                let (failed, all) = window.sums(now);
                #[expect(clippy::cast_precision_loss, reason = "a share of messages")]
                if failed >= self.failures && failed as f64 >= self.ratio * all as f64 {
                    self.trip(state, now, format!("{failed} of {all} messages failed"));
                }
            }
            Phase::Probing { under_way, passed } => {
                *under_way = under_way.saturating_sub(1);
                match verdict {
                    Verdict::Failure => self.trip(state, now, "a probe failed".to_owned()),
                    Verdict::Success => {
                        *passed += 1;
                        if *passed >= self.probes {
                            self.reset(state);
                        }
                    }
                    // Another one is needed.
                    Verdict::Neither => self.changed.notify_waiters(),
                }
            }
            Phase::Tripped { .. } => {}
        }
    }

    fn trip(&self, mut state: MutexGuard<'_, State>, now: Instant, why: String) {
        let pause = state.next_pause;
        state.next_pause = pause.saturating_mul(2).min(self.max_pause.max(self.pause));
        state.trips += 1;
        warn!(why, ?pause, trips = state.trips, "the kill switch has tripped; nothing is fetched for a while");
        let until = later(now, pause);
        state.begin(Phase::Tripped { until, why });
        drop(state);
        self.changed.notify_waiters();
    }

    fn reset(&self, mut state: MutexGuard<'_, State>) {
        info!("the kill switch's probes succeeded; fetching goes on");
        state.next_pause = self.pause;
        state.begin(Phase::Passing(Window::new(self.window)));
        drop(state);
        self.changed.notify_waiters();
    }
}

#[async_trait]
impl Gate for KillSwitch {
    async fn enter(&self, max: NonZeroUsize) -> Permit {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let again_at = match self.try_enter(max, Instant::now()) {
                Ok(permit) => return permit,
                Err(at) => at,
            };
            match again_at {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }

    async fn revoked(&self, permit: Permit) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.lock().is_current(permit) {
                return;
            }
            changed.await;
        }
    }

    fn leave(&self, permit: Permit, came: usize) {
        let mut state = self.lock();
        if !state.is_current(permit) {
            return;
        }
        state.promises.end(permit);
        if let Phase::Probing { under_way, .. } = &mut state.phase {
            *under_way += came;
            if came < permit.deliveries().get() {
                self.changed.notify_waiters();
            }
        }
    }

    fn handled(&self, permit: Permit, delivery: &Delivery, result: &Result<Outcome, BoxError>) {
        // Without the lock: it is the user's code.
        self.count(permit, (self.judge)(delivery, result));
    }

    fn not_handled(&self, permit: Permit) {
        self.count(permit, Verdict::Neither);
    }

    fn flow(&self) -> Flow {
        match &self.lock().phase {
            Phase::Passing(_) => Flow::Free,
            Phase::Tripped { until, .. } if *until > Instant::now() => Flow::Held,
            Phase::Tripped { .. } | Phase::Probing { .. } => Flow::Narrow,
        }
    }
}

impl fmt::Display for KillSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lock().phase {
            Phase::Passing(_) => f.write_str("kill switch, not tripped"),
            Phase::Tripped { why, .. } => write!(f, "kill switch, tripped: {why}"),
            Phase::Probing { .. } => f.write_str("kill switch, probing"),
        }
    }
}

impl fmt::Debug for KillSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KillSwitch").field("state", &*self.lock()).finish_non_exhaustive()
    }
}
