//! What a proxy is told to do.

use std::time::Duration;

/// Which way data flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From clients to the server.
    ToServer,
    /// From the server to clients.
    ToClient,
}

/// What holds for data of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    pub(super) frozen: bool,
    pub(super) cut: Option<Cut>,
    /// Whether the connection is to be frozen where it would be cut.
    pub(super) freezes: bool,
}

/// How much may still pass before all connections are cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Bytes(u64),
    Frames(u64),
}

impl Cut {
    /// How many bytes of a chunk of this length, in which frames end there, may pass before the cut; `None` if it is
    /// not reached, and then what may still pass is less.
    pub(super) fn reached(&mut self, len: usize, ends: &[usize]) -> Option<usize> {
        let (left, passing) = match self {
            Self::Bytes(left) => (left, len),
            Self::Frames(left) => (left, ends.len()),
        };
        let reached = usize::try_from(*left).ok().filter(|left| *left <= passing);
        let Some(count) = reached else {
            *left -= passing as u64;
            return None;
        };
        Some(match self {
            Self::Bytes(_) => count,
            Self::Frames(_) => count.checked_sub(1).map_or(0, |last| ends[last]),
        })
    }
}

/// How fast data passes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) delay: Duration,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
}

impl Pace {
    /// How long to hold back a chunk of this length.
    pub(super) fn hold(self, len: usize) -> Duration {
        let nanos = self.rate.map_or(0, |rate| len as u128 * 1_000_000_000 / u128::from(rate.max(1)));
        self.delay + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// All that a proxy is told to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    ways: [Way; 2],
    pub(super) pace: Pace,
    /// Connections of an earlier time are to be cut.
    pub(super) epoch: u64,
}

impl Rules {
    pub(super) fn way(&self, direction: Direction) -> Way {
        self.ways[direction as usize]
    }

    pub(super) fn way_mut(&mut self, direction: Direction) -> &mut Way {
        &mut self.ways[direction as usize]
    }

    pub(super) fn thaw(&mut self) {
        self.ways.iter_mut().for_each(|way| way.frozen = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_in_frames_falls_on_the_end_of_one() {
        let mut cut = Cut::Frames(3);
        assert_eq!(cut.reached(30, &[10, 25]), None);
        assert_eq!(cut.reached(30, &[5, 20]), Some(5));
        assert_eq!(Cut::Frames(0).reached(30, &[5, 20]), Some(0));
        assert_eq!(Cut::Frames(2).reached(30, &[5, 20]), Some(20));
    }

    #[test]
    fn a_cut_in_bytes_falls_anywhere() {
        let mut cut = Cut::Bytes(40);
        assert_eq!(cut.reached(30, &[]), None);
        assert_eq!(cut.reached(30, &[]), Some(10));
        assert_eq!(Cut::Bytes(30).reached(30, &[]), Some(30));
        assert_eq!(Cut::Bytes(0).reached(30, &[]), Some(0));
    }

    #[test]
    fn a_rate_holds_back_by_length() {
        let pace = Pace { delay: Duration::from_millis(5), rate: Some(1000) };
        assert_eq!(pace.hold(100), Duration::from_millis(105));
        assert_eq!(Pace::default().hold(100), Duration::ZERO);
    }
}
