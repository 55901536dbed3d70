//! The messages, and the queue that they go through.

use std::num::NonZeroU32;

use clap::ValueEnum;
use swarrot::topology::{Queue, QueueKind, Topology};

/// What a message does to its handler; the last letter of its id tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is handled at the first attempt.
    Plain,
    /// Two attempts fail, the third one does not.
    Twice,
    /// It fails for good.
    Hopeless,
    /// It ends the process that handles it.
    Poison,
}

/// How many attempts fail for a message of [`Kind::Twice`].
pub(crate) const FAILURES: u32 = 2;

const LETTERS: [(Kind, char); 4] = [(Kind::Plain, 'k'), (Kind::Twice, 't'), (Kind::Hopeless, 'h'), (Kind::Poison, 'x')];

impl Kind {
    /// What a message with this id does; `None` if the id is none of ours.
    pub(crate) fn of(id: &str) -> Option<Self> {
        let last = id.chars().next_back()?;
        LETTERS.iter().find(|(_, letter)| *letter == last).map(|(kind, _)| *kind)
    }

    pub(crate) fn letter(self) -> char {
        LETTERS.iter().find(|(kind, _)| *kind == self).expect("every kind has a letter").1
    }

    /// Whether it has to be parked in the end.
    pub(crate) fn is_to_be_parked(self) -> bool {
        matches!(self, Self::Hopeless | Self::Poison)
    }
}

/// Of which kinds messages are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Mix {
    /// Per cent of messages that fail twice
    #[arg(long, default_value_t = 0)]
    pub(crate) twice: u8,
    /// Per cent of messages that fail for good
    #[arg(long, default_value_t = 0)]
    pub(crate) hopeless: u8,
    /// One message in so many ends its process
    #[arg(long)]
    pub(crate) poison: Option<NonZeroU32>,
}

impl Mix {
    pub(crate) fn kind_of(self, number: u32, rng: &mut fastrand::Rng) -> Kind {
        if self.poison.is_some_and(|each| number % each == each.get() / 2) {
            return Kind::Poison;
        }
        let draw = rng.u8(0..100);
        if draw < self.twice {
            Kind::Twice
        } else if draw < self.twice.saturating_add(self.hopeless) {
            Kind::Hopeless
        } else {
            Kind::Plain
        }
    }
}

/// How the queue is kept, where that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keeping {
    Quorum,
    Classic,
}

/// The queue with this name, and its dead-letter queue.
pub(crate) fn topology(queue: &str, keeping: Keeping) -> Topology {
    let kind = match keeping {
        Keeping::Quorum => QueueKind::Quorum,
        Keeping::Classic => QueueKind::Classic,
    };
    Topology::new().queue(Queue::new(queue).kind(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind() {
        for (kind, _) in LETTERS {
            assert_eq!(Kind::of(&format!("p0.1.{}", kind.letter())), Some(kind));
        }
        assert_eq!(Kind::of("p0.1.z"), None);
        assert_eq!(Kind::of(""), None);
    }

    #[test]
    fn a_mix_is_what_it_says() {
        let mix = Mix { twice: 20, hopeless: 10, poison: NonZeroU32::new(100) };
        let mut rng = fastrand::Rng::with_seed(1);
        let kinds: Vec<_> = (0..10_000).map(|number| mix.kind_of(number, &mut rng)).collect();
        let count = |kind| kinds.iter().filter(|other| **other == kind).count();
        assert_eq!(count(Kind::Poison), 100);
        assert!((1800..2200).contains(&count(Kind::Twice)));
        assert!((800..1200).contains(&count(Kind::Hopeless)));
    }
}
