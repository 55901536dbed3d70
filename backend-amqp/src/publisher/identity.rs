//! By what a message is known that the broker returns.
//!
//! By its message id, as long as nothing else that was sent on the channel and has no verdict yet has the same one. Otherwise by a
//! publish id in its headers, of which there is only one. A message id goes with every message anyhow, while a table of headers
//! costs a broker that would have none to read a fifth of its time.

use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use rustc_hash::FxHashMap;

use crate::convert::{PUBLISH_ID, publish_id};

/// What was sent on one channel, by its message ids.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Ids of the publisher's own, by the hash of the message id: two messages of one hash are not told apart by it.
    by_message_id: FxHashMap<u64, u64>,
    hasher: RandomState,
}

/// By what one message is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Identity {
    /// The hash of its message id.
    MessageId(u64),
    /// The publish id in its headers.
    PublishId,
}

impl Identities {
    /// The properties to send of the message with this id, which has these, and by what it is known until it is
    /// [forgotten](Self::forget).
    pub(super) fn identify(&mut self, id: u64, properties: BasicProperties) -> (BasicProperties, Identity) {
        if let Some(hash) = self.hash(&properties)
            && let Entry::Vacant(place) = self.by_message_id.entry(hash)
        {
            place.insert(id);
            return (properties, Identity::MessageId(hash));
        }
        let mut headers = properties.headers().clone().unwrap_or_default();
        headers.insert(PUBLISH_ID.into(), AMQPValue::LongLongInt(i64::try_from(id).unwrap_or(i64::MAX)));
        (properties.with_headers(headers), Identity::PublishId)
    }

    /// The id of a message that was returned.
    pub(super) fn find(&self, returned: &BasicProperties) -> Option<u64> {
        publish_id(returned).or_else(|| self.by_message_id.get(&self.hash(returned)?).copied())
    }

    /// It has its verdict.
    pub(super) fn forget(&mut self, identity: Identity) {
        if let Identity::MessageId(hash) = identity {
            self.by_message_id.remove(&hash);
        }
    }

    fn hash(&self, properties: &BasicProperties) -> Option<u64> {
        properties.message_id().as_ref().map(|text| self.hasher.hash_one(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_same_message_id_is_told_apart() {
        let mut identities = Identities::default();
        let (same, none) = (BasicProperties::default().with_message_id("same".into()), BasicProperties::default());
        let (first, known) = identities.identify(1, same.clone());
        assert_eq!(first, same, "nothing is added to it");
        let (second, _) = identities.identify(2, same.clone());
        let (third, _) = identities.identify(3, none);
        assert_eq!([&first, &second, &third].map(|sent| identities.find(sent)), [Some(1), Some(2), Some(3)]);
        identities.forget(known);
        assert_eq!(identities.find(&first), None);
        let (fourth, _) = identities.identify(4, same);
        assert_eq!([&fourth, &second].map(|sent| identities.find(sent)), [Some(4), Some(2)]);
    }
}
