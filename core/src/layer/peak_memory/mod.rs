//! How much memory a message takes at its most.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod system;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use tower_layer::Layer;
use tracing::{debug, warn};

use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;

/// Messages in hand behind this layer. The figure is the process's own, whatever workers and layers it has.
static IN_HAND: AtomicUsize = AtomicUsize::new(0);

/// Tells the peak of the process's memory while a message was handled: its resident set at the largest, in bytes, all that
/// the process has besides included. On Linux alone; elsewhere it does nothing.
///
/// Before a message it resets the peak that the kernel keeps of the process (`/proc/self/clear_refs`); after it, however the
/// handler ended, it reads the peak (`VmHWM` in `/proc/self/status`), writes a tracing event of the level debug, and calls
/// [`report`](Self::report). Programs that watch the same peak from outside see it reset.
///
/// # Concurrency
/// There is one peak for the whole process. While another message is in hand behind such a layer it is not reset, so that
/// neither hides the other's: what is told is then the peak since the first of those that overlap began, at least as much as
/// the message's own and perhaps none of its doing. Only with one message at a time in the process does it say what a message
/// takes; on a busy worker that never pauses between messages it may never be reset at all.
///
/// # Cost
/// Both are calls into the kernel that wait for no disk, made on the worker's own thread: together some 20 to 50
/// microseconds for a process of usual size, and no allocation. Where the kernel does not let itself be asked (in some
/// containers), a warning says so once, and nothing is told.
///
/// ```
/// use swarrot_core::layer::PeakMemory;
///
/// let layer = PeakMemory::new().report(|delivery, bytes| println!("{}: {bytes} bytes", delivery.id()));
/// ```
#[derive(Clone, Default)]
pub struct PeakMemory {
    report: Option<Arc<Report>>,
}

type Report = dyn Fn(&Delivery, u64) + Send + Sync;

impl PeakMemory {
    /// Tells by tracing events alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls this after each message with the peak in bytes.
    pub fn report(mut self, report: impl Fn(&Delivery, u64) + Send + Sync + 'static) -> Self {
        self.report = Some(Arc::new(report));
        self
    }

    fn tell(&self, delivery: &Delivery) {
        match system::peak() {
            Ok(peak) => {
                debug!(queue = delivery.queue(), id = delivery.id(), peak, "memory at its peak, in bytes");
                if let Some(report) = &self.report {
                    report(delivery, peak);
                }
            }
            Err(error) => say_once(&error),
        }
    }
}

impl fmt::Debug for PeakMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeakMemory")
    }
}

impl<H> Layer<H> for PeakMemory {
    type Service = PeakMemoryHandler<H>;

    fn layer(&self, inner: H) -> PeakMemoryHandler<H> {
        PeakMemoryHandler { inner, layer: self.clone() }
    }
}

/// A handler whose peak of memory is told by [`PeakMemory`].
#[derive(Clone, Debug)]
pub struct PeakMemoryHandler<H> {
    inner: H,
    layer: PeakMemory,
}

impl<H: Handler> Handler for PeakMemoryHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let in_hand = InHand::begin();
        let result = self.inner.handle(delivery.clone()).await;
        if in_hand.watched {
            self.layer.tell(&delivery);
        }
        result
    }
}

/// A message in hand, also one whose handler is cancelled.
struct InHand {
    watched: bool,
}

impl InHand {
    fn begin() -> Self {
        // Counted first: one that begins at the same time does not reset either, which errs on the safe side.
        let alone = IN_HAND.fetch_add(1, Ordering::AcqRel) == 0;
        let reset = if alone { system::reset() } else { Ok(()) };
        if let Err(error) = &reset {
            say_once(error);
        }
        Self { watched: reset.is_ok() }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        IN_HAND.fetch_sub(1, Ordering::AcqRel);
    }
}

fn say_once(error: &std::io::Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| warn!(%error, "the peak of memory cannot be watched here; it is not told"));
}
