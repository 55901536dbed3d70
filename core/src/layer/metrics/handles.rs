//! Handles of figures, looked up once for each destination.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// Something for each destination, made when it is seen first; beyond the most, all have one together.
#[derive(Debug)]
pub(super) struct ByDestination<T> {
    most: usize,
    /// Most layers see one destination only.
    first: OnceLock<Entry<T>>,
    more: RwLock<Vec<Entry<T>>>,
    other: OnceLock<Arc<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    system: &'static str,
    destination: Box<str>,
    value: Arc<T>,
}

impl<T> ByDestination<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, first: OnceLock::new(), more: RwLock::default(), other: OnceLock::new() }
    }

    /// What this destination has, made now if it has none.
    pub(super) fn get(&self, system: &'static str, destination: &str, make: impl Fn(&str) -> T) -> Arc<T> {
        let is_it = |entry: &&Entry<T>| entry.system == system && *entry.destination == *destination;
        let entry = || Entry { system, destination: destination.into(), value: Arc::new(make(destination)) };
        let first = self.first.get_or_init(entry);
        if is_it(&first) {
            return Arc::clone(&first.value);
        }
        let known = self.more.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(is_it) {
            return Arc::clone(&known.value);
        }
        drop(known);
        let mut more = self.more.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = more.iter().find(is_it) {
            return Arc::clone(&known.value);
        }
        if more.len() + 1 >= self.most {
            drop(more);
            return Arc::clone(self.other.get_or_init(|| Arc::new(make("_OTHER"))));
        }
        let entry = entry();
        let value = Arc::clone(&entry.value);
        more.push(entry);
        value
    }
}

/// Handles by class of error: one for success, which is looked up most, and those of the classes seen.
pub(super) struct ByError<T> {
    fine: T,
    failed: Mutex<Vec<(&'static str, T)>>,
}

impl<T: Clone> ByError<T> {
    pub(super) fn new(fine: T) -> Self {
        Self { fine, failed: Mutex::default() }
    }

    /// The handle of a class, made now if there is none; classes are few.
    pub(super) fn get(&self, error: Option<&'static str>, make: impl FnOnce(&'static str) -> T) -> T {
        let Some(error) = error else { return self.fine.clone() };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = failed.iter().find(|(class, _)| *class == error) {
            return handle.clone();
        }
        let handle = make(error);
        failed.push((error, handle.clone()));
        handle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_beyond_the_most_are_counted_together() {
        let by = ByDestination::new(2);
        let get = |destination| (*by.get("memory", destination, str::to_owned)).clone();
        assert_eq!([get("a"), get("b"), get("c"), get("d")], ["a", "b", "_OTHER", "_OTHER"]);
        assert_eq!([get("a"), get("b")], ["a", "b"], "those that came first keep theirs");
        assert!(Arc::ptr_eq(&by.get("memory", "b", str::to_owned), &by.get("memory", "b", str::to_owned)));
        assert_eq!(*by.get("other system", "a", str::to_owned), "_OTHER");
    }

    #[test]
    fn one_is_the_least() {
        let by = ByDestination::new(1);
        assert_eq!(*by.get("", "a", str::to_owned), "a");
        assert_eq!(*by.get("", "b", str::to_owned), "_OTHER");
    }

    #[test]
    fn each_class_of_error_has_one() {
        let by = ByError::new("fine");
        assert_eq!(by.get(None, |_| unreachable!("it is there")), "fine");
        assert_eq!(by.get(Some("timeout"), |class| class), "timeout");
        assert_eq!(by.get(Some("timeout"), |_| unreachable!("it is there")), "timeout");
    }
}
