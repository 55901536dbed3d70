//! The headers of a message.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use super::Value;

/// Headers by name, with typed values. Cheap to clone: copies share their content until one is changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Option<Arc<BTreeMap<String, Value>>>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }

    /// Whether there is a header of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a header and returns the value it had before.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        Arc::make_mut(self.0.get_or_insert_default()).insert(name.into(), value.into())
    }

    /// Takes a header out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let map = self.0.as_mut()?;
        // Looked up first, so that a header that is not there does not copy the map.
        if !map.contains_key(name) {
            return None;
        }
        let removed = Arc::make_mut(map).remove(name);
        if map.is_empty() {
            self.0 = None;
        }
        removed
    }

    /// Keeps the headers for which `keep` answers true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        let Some(map) = self.0.as_mut() else { return };
        if map.iter().all(|(name, value)| keep(name, value)) {
            return;
        }
        Arc::make_mut(map).retain(|name, value| keep(name, value));
        if map.is_empty() {
            self.0 = None;
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All headers, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|map| map.iter()).map(|(name, value)| (name.as_str(), value))
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let map: BTreeMap<_, _> = headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self((!map.is_empty()).then(|| Arc::new(map)))
    }
}

impl IntoIterator for Headers {
    type Item = (String, Value);
    type IntoIter = btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_copy_leaves_the_original_alone() {
        let original = Headers::from_iter([("a", 1_i64)]);
        let mut copy = original.clone();
        copy.insert("a", 2_i64);
        copy.insert("b", true);
        assert_eq!(original.get("a"), Some(&Value::Int(1)));
        assert_eq!(original.len(), 1);
        assert_eq!(copy.len(), 2);
    }

    #[test]
    fn empty_after_the_last_is_gone() {
        let mut headers = Headers::from_iter([("a", 1_i64)]);
        assert_eq!(headers.remove("b"), None);
        assert_eq!(headers.remove("a"), Some(Value::Int(1)));
        assert_eq!(headers, Headers::new());
    }
}
