//! What passes between the first and the last message.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use stats_alloc::INSTRUMENTED_SYSTEM;
use tokio::sync::Notify;

use crate::figures::Figures;

/// Counts messages, and looks at the clock and the process's usage at the first and the last.
#[derive(Debug)]
pub struct Meter {
    total: u64,
    seen: AtomicU64,
    /// The usage at the beginning, and how many messages came later.
    first: OnceLock<(Usage, u64)>,
    last: OnceLock<Usage>,
    done: Notify,
}

impl Meter {
    /// For this many messages, for as long as the process runs.
    pub fn new(total: u64) -> &'static Self {
        let meter =
            Self { total, seen: AtomicU64::new(0), first: OnceLock::new(), last: OnceLock::new(), done: Notify::new() };
        Box::leak(Box::new(meter))
    }

    /// Begins now, instead of at the first message.
    pub fn begin(&self) {
        let _ = self.first.set((Usage::now(), self.total));
    }

    /// One message.
    pub fn hit(&self) {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if seen == 1 && self.first.get().is_none() {
            let _ = self.first.set((Usage::now(), self.total - 1));
        }
        if seen == self.total {
            let _ = self.last.set(Usage::now());
            self.done.notify_one();
        }
    }

    /// So many.
    pub fn hits(&self, count: usize) {
        (0..count).for_each(|_| self.hit());
    }

    /// How many there were; more than were awaited, if some came twice.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Waits for the last one.
    pub async fn done(&self) {
        while self.last.get().is_none() {
            self.done.notified().await;
        }
    }

    /// What was measured, once it is done.
    pub fn figures(&self) -> Figures {
        match (self.first.get(), self.last.get()) {
            (Some((first, messages)), Some(last)) => first.until(last, (*messages).max(1)),
            _ => Figures::default(),
        }
    }
}

/// What the process has used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    at: Instant,
    cpu: Duration,
    switches: i64,
    allocations: usize,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let allocations = allocations();
        let (cpu, switches) = getrusage(UsageWho::RUSAGE_SELF).map_or((Duration::ZERO, 0), |usage| {
            (duration(usage.user_time()) + duration(usage.system_time()), usage.voluntary_context_switches())
        });
        Self { at: Instant::now(), cpu, switches, allocations }
    }

    /// What was used from here to there by so many messages.
    pub(crate) fn until(&self, end: &Self, messages: u64) -> Figures {
        let each = messages as f64;
        Figures {
            messages,
            seconds: (end.at - self.at).as_secs_f64(),
            cpu: end.cpu.saturating_sub(self.cpu).as_secs_f64() * 1e6 / each,
            switches: (end.switches - self.switches) as f64 / each,
            rss: peak_mib(),
            allocations: (end.allocations - self.allocations) as f64 / each,
            ..Figures::default()
        }
    }
}

/// When the program began.
static START: OnceLock<Instant> = OnceLock::new();

/// Notes that the program begins.
pub(crate) fn start() {
    START.get_or_init(Instant::now);
}

/// The time since the program began, as the latency of one message.
#[cfg(feature = "brokers")]
pub(crate) fn since_start() -> Figures {
    let took = START.get().map_or(Duration::ZERO, Instant::elapsed);
    Figures {
        messages: 1,
        seconds: took.as_secs_f64(),
        latency: [took.as_secs_f64() * 1e3; 3],
        rss: peak_mib(),
        ..Figures::default()
    }
}

/// Allocations so far, reallocations included; zero where they are not counted.
pub(crate) fn allocations() -> usize {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.allocations + stats.reallocations
}

/// The most memory that the process had, where the system tells. `getrusage` would not do: it begins with what the process had that
/// started this one.
fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn duration(time: TimeVal) -> Duration {
    let (seconds, micros) = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
