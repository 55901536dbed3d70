//! What a file may name: layers and gates, each with options of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::gates::Gates;
use super::layers::Layers;
use super::publisher_layers::PublisherLayers;
use super::read::{FromValue, Keys, Options, Value, hint, shown};

/// All that a file may name.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) layers: Layers,
    pub(super) publisher_layers: PublisherLayers,
    pub(super) gates: Gates,
}

/// Things of one sort that a file may name.
pub(super) struct Registry<T> {
    /// What they are called: the key that names one.
    what: &'static str,
    known: BTreeMap<&'static str, Entry<T>>,
    /// Names of what is not built in, and the features that it needs.
    left_out: BTreeMap<&'static str, &'static str>,
}

struct Entry<T> {
    read: Arc<Read<T>>,
    keys: fn() -> Option<Keys>,
}

type Read<T> = dyn Fn(&Value<'_>) -> Option<T> + Send + Sync;

/// Why options were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    key: Option<&'static str>,
    message: String,
}

impl Refusal {
    /// What is wrong and what to do, in one line without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into() }
    }

    /// What is wrong with the value of a key.
    pub fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key: Some(key), message: message.into() }
    }
}

impl<T> Registry<T> {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, known: BTreeMap::new(), left_out: BTreeMap::new() }
    }

    /// Makes one known, in the place of another one of that name.
    pub(super) fn add<O: Options>(&mut self, name: &'static str, build: fn(O) -> Result<T, Refusal>)
    where
        T: 'static,
    {
        let what = self.what;
        let read = move |value: &Value<'_>| {
            let options = O::from_value(value)?;
            let refuse = |refusal: Refusal| {
                if let Some(table) = value.as_table() {
                    table.refuse_at(refusal.key.unwrap_or(what), refusal.message);
                }
            };
            build(options).map_err(refuse).ok()
        };
        self.known.insert(name, Entry { read: Arc::new(read), keys: O::keys });
    }

    /// Notes that one is not built in, for lack of this feature.
    #[cfg_attr(feature = "metrics", expect(dead_code, reason = "everything is built in"))]
    pub(super) fn leave_out(&mut self, name: &'static str, feature: &'static str) {
        self.left_out.insert(name, feature);
    }

    /// Each one's name and keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static str, Keys)> {
        self.known.iter().filter_map(|(name, known)| (known.keys)().map(|keys| (*name, keys)))
    }

    /// Reads one: its name, and its options beside it.
    pub(super) fn read(&self, value: &Value<'_>, expected: &str) -> Option<T> {
        let known = || self.known.keys().copied();
        let Some(table) = value.as_table() else {
            value.refuse_as(expected);
            return None;
        };
        let Some(tag) = table.entry(self.what) else {
            value.refuse(format!("{:?} is missing{}", self.what, hint("", known())));
            return None;
        };
        let name = String::from_value(&tag)?;
        let Some(found) = self.known.get(name.as_str()) else {
            if let Some(feature) = self.left_out.get(name.as_str()) {
                let what = self.what;
                tag.refuse(format!(
                    "the {what} {name:?} needs the feature {feature:?}; add it to swarrot's features in Cargo.toml"
                ));
                return None;
            }
            let name_shown = if tag.is_plain() { shown(&name) } else { "by that name".to_owned() };
            tag.refuse(format!("there is no {} {name_shown}{}", self.what, hint(&name, known())));
            return None;
        };
        (found.read)(&value.clone().without(self.what))
    }
}

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self { what: self.what, known: self.known.clone(), left_out: self.left_out.clone() }
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { read: Arc::clone(&self.read), keys: self.keys }
    }
}

impl<T> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}
