//! When to give up on what has no verdict.

use std::collections::VecDeque;

use tokio::time::Instant;

/// Below this number it is not worth the while to look for what is done with.
const FEW: usize = 1024;

/// Deadlines, the earliest first.
///
/// Messages come in nearly the order of their deadlines, and have their verdicts in nearly the order in which they came. So
/// one that comes is put in its place from behind, and one that has its verdict stays until it is the first, or until most
/// are like it.
#[derive(Debug, Default)]
pub(super) struct Deadlines(VecDeque<(Instant, u64)>);

impl Deadlines {
    pub(super) fn insert(&mut self, deadline: Instant, id: u64) {
        let place = match self.0.back() {
            Some(last) if *last > (deadline, id) => self.0.partition_point(|other| *other < (deadline, id)),
            _ => self.0.len(),
        };
        self.0.insert(place, (deadline, id));
    }

    /// Forgets what has its verdict: all at the front, and now and then all, so that there are never many more than `waiting`.
    pub(super) fn tidy(&mut self, waiting: usize, waits: impl Fn(u64) -> bool) {
        while self.0.front().is_some_and(|(_, id)| !waits(*id)) {
            self.0.pop_front();
        }
        if self.0.len() > 2 * waiting + FEW {
            self.0.retain(|(_, id)| waits(*id));
        }
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.0.front().map(|(deadline, _)| *deadline)
    }

    /// The next that is due, which is forgotten.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        if self.first()? > now {
            return None;
        }
        self.0.pop_front().map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_is_first_whenever_it_came() {
        let (now, mut deadlines) = (Instant::now(), Deadlines::default());
        let at = |seconds| now + Duration::from_secs(seconds);
        for (seconds, id) in [(3, 1), (1, 2), (2, 3), (1, 4), (3, 5)] {
            deadlines.insert(at(seconds), id);
        }
        assert_eq!(deadlines.pop_due(now), None);
        assert_eq!([(); 4].map(|()| deadlines.pop_due(at(2))), [Some(2), Some(4), Some(3), None]);
        assert_eq!(deadlines.first(), Some(at(3)));
    }

    #[test]
    fn what_is_done_with_goes() {
        let (now, mut deadlines) = (Instant::now(), Deadlines::default());
        for id in 0..10 {
            deadlines.insert(now + Duration::from_secs(id), id);
        }
        deadlines.tidy(2, |id| id == 3 || id == 8);
        assert_eq!(deadlines.first(), Some(now + Duration::from_secs(3)));
        // One that is never done with keeps none of the others.
        for id in 10..10 * FEW as u64 {
            deadlines.insert(now + Duration::from_secs(id), id);
            deadlines.tidy(1, |id| id == 3);
        }
        assert!(deadlines.0.len() <= FEW + 2, "{}", deadlines.0.len());
    }
}
