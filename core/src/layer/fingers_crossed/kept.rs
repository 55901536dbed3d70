//! What is kept of a delivery, within limits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Metadata;

/// Bytes that may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) delivery: usize,
    pub(super) total: usize,
}

/// Bytes that all deliveries keep together.
#[derive(Debug)]
pub(super) struct Total {
    limits: Limits,
    used: AtomicUsize,
}

impl Total {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, used: AtomicUsize::new(0) })
    }

    fn reserve(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limits.total);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn free(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// What is kept of one delivery.
#[derive(Debug)]
pub(super) struct Kept {
    total: Arc<Total>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fate: Fate,
    events: Events,
}

/// What becomes of an event of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept until the delivery ends.
    #[default]
    Kept,
    /// The delivery failed: it is written.
    Written,
    /// The delivery ended well: it is forgotten.
    Forgotten,
}

/// Events in their order, as they will be written.
#[derive(Debug, Default)]
pub(super) struct Events {
    text: VecDeque<u8>,
    ends: VecDeque<(&'static Metadata<'static>, usize)>,
    pub(super) cut: usize,
    pub(super) cut_bytes: usize,
}

/// What an event costs beside its text.
const OVERHEAD: usize = size_of::<(&Metadata<'_>, usize)>();

impl Kept {
    pub(super) fn new(total: Arc<Total>) -> Self {
        Self { total, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of an event now.
    pub(super) fn fate(&self) -> Fate {
        self.lock().fate
    }

    /// Keeps an event, or tells what else is to become of it, since the delivery has ended meanwhile.
    pub(super) fn keep(&self, meta: &'static Metadata<'static>, text: &[u8]) -> Fate {
        let mut state = self.lock();
        if state.fate == Fate::Kept {
            state.events.push(meta, text, &self.total);
        }
        state.fate
    }

    /// The end of the delivery: what was kept, if it is to be written. Only the first end counts.
    pub(super) fn end(&self, failed: bool) -> Option<Events> {
        let mut state = self.lock();
        if state.fate != Fate::Kept {
            return None;
        }
        state.fate = if failed { Fate::Written } else { Fate::Forgotten };
        let events = std::mem::take(&mut state.events);
        self.total.free(events.cost());
        failed.then_some(events)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let events = &self.lock().events;
        self.total.free(events.cost());
    }
}

impl Events {
    fn cost(&self) -> usize {
        self.text.len() + self.ends.len() * OVERHEAD
    }

    fn push(&mut self, meta: &'static Metadata<'static>, text: &[u8], total: &Total) {
        let cost = text.len() + OVERHEAD;
        loop {
            if self.cost() + cost <= total.limits.delivery && total.reserve(cost) {
                self.text.extend(text);
                self.ends.push_back((meta, text.len()));
                return;
            }
            // An event that could never fit is cut itself, and pushes no other out.
            let oldest = if cost > total.limits.delivery { None } else { self.ends.pop_front() };
            let Some((_, length)) = oldest else {
                self.cut += 1;
                self.cut_bytes += text.len();
                return;
            };
            self.text.drain(..length);
            total.free(length + OVERHEAD);
            self.cut += 1;
            self.cut_bytes += length;
        }
    }

    /// Each event, the oldest first.
    pub(super) fn for_each(mut self, mut write: impl FnMut(&'static Metadata<'static>, &[u8])) {
        let mut rest = &*self.text.make_contiguous();
        for (meta, length) in self.ends {
            let (text, later) = rest.split_at(length);
            write(meta, text);
            rest = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fingers_crossed::note::METADATA;

    fn total(delivery: usize, total: usize) -> Arc<Total> {
        Total::new(Limits { delivery, total })
    }

    fn texts(kept: &Kept) -> (Vec<String>, usize, usize) {
        let events = kept.end(true).expect("its first end");
        let (cut, cut_bytes) = (events.cut, events.cut_bytes);
        let mut texts = Vec::new();
        events.for_each(|_, text| texts.push(String::from_utf8(text.to_vec()).expect("text")));
        (texts, cut, cut_bytes)
    }

    #[test]
    fn the_oldest_are_cut_first() {
        let total = total(2 * (OVERHEAD + 3), 1000);
        let kept = Kept::new(Arc::clone(&total));
        for text in ["one", "two", "six", "ten"] {
            kept.keep(&METADATA, text.as_bytes());
        }
        assert_eq!(total.used(), 2 * (OVERHEAD + 3));
        assert_eq!(texts(&kept), (vec!["six".to_owned(), "ten".to_owned()], 2, 6));
        assert_eq!(total.used(), 0);
    }

    #[test]
    fn what_never_fits_pushes_nothing_out() {
        let total = total(OVERHEAD + 10, 1000);
        let kept = Kept::new(Arc::clone(&total));
        kept.keep(&METADATA, b"small");
        kept.keep(&METADATA, &[b'x'; 500]);
        assert_eq!(texts(&kept), (vec!["small".to_owned()], 1, 500));
    }

    #[test]
    fn all_together_are_bounded() {
        let total = total(1000, 3 * (OVERHEAD + 1));
        let (greedy, other) = (Kept::new(Arc::clone(&total)), Kept::new(Arc::clone(&total)));
        for _ in 0..5 {
            greedy.keep(&METADATA, b"g");
        }
        assert_eq!(other.keep(&METADATA, b"o"), Fate::Kept);
        assert_eq!(total.used(), 3 * (OVERHEAD + 1));
        assert_eq!(texts(&other), (vec![], 1, 1), "there was no room, and nothing of its own to make room");
        drop(greedy);
        assert_eq!(total.used(), 0, "what never ended gives its bytes back when it is dropped");
    }

    #[test]
    fn only_the_first_end_counts() {
        let kept = Kept::new(total(1000, 1000));
        kept.keep(&METADATA, b"text");
        assert!(kept.end(false).is_none());
        assert!(kept.end(true).is_none());
        assert_eq!(kept.keep(&METADATA, b"late"), Fate::Forgotten);
    }
}
