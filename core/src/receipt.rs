//! The token by which a delivery is settled.

use std::fmt;

/// Opaque token by which the provider that issued it settles a delivery.
///
/// The two numbers are the backend's own (AMQP: epoch of the channel and delivery tag; Redis: the two halves of an entry
/// id). A provider that is made of several adds the index of the one that issued it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt {
    high: u64,
    low: u64,
    /// Indexes of providers within providers, the outermost in the low byte; 0 ends the path.
    path: u32,
}

impl Receipt {
    /// How many providers may stand around each other.
    pub const MAX_NESTING: u32 = 4;

    /// A receipt of a backend.
    pub const fn new(high: u64, low: u64) -> Self {
        Self { high, low, path: 0 }
    }

    /// The first number, as the backend chose it.
    pub const fn high(&self) -> u64 {
        self.high
    }

    /// The second number, as the backend chose it.
    pub const fn low(&self) -> u64 {
        self.low
    }

    /// The same receipt, issued by the inner provider with this index (at most 254).
    ///
    /// # Panics
    /// If more than [`Receipt::MAX_NESTING`] providers stand around each other, or the index is 255.
    pub const fn nest(self, index: u8) -> Self {
        assert!(self.path >> 24 == 0, "providers are nested more than four deep");
        assert!(index < u8::MAX, "a provider is made of at most 255 others");
        Self { path: (self.path << 8) | (index as u32 + 1), ..self }
    }

    /// The index of the inner provider that issued it, and the receipt as that one knows it.
    pub const fn unnest(self) -> Option<(u8, Self)> {
        match (self.path & 0xff) as u8 {
            0 => None,
            marked => Some((marked - 1, Self { path: self.path >> 8, ..self })),
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({}-{}", self.high, self.low)?;
        if self.path != 0 {
            write!(f, "@{:x}", self.path)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_index_comes_off_first() {
        let inner = Receipt::new(7, 9);
        let nested = inner.nest(0).nest(254);
        let (outer_index, once) = nested.unnest().expect("nested twice");
        let (inner_index, twice) = once.unnest().expect("nested once");
        assert_eq!((outer_index, inner_index), (254, 0));
        assert_eq!(twice, inner);
        assert_eq!(twice.unnest(), None);
    }
}
