//! Which messages of a queue are meant.

use swarrot::Message;

use crate::message::Filter;

/// Which messages of a queue are meant, and how many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    ids: Option<Vec<String>>,
    filters: Vec<Filter>,
    left: Option<u64>,
}

impl Choice {
    /// Those that meet all of these.
    pub(crate) fn by(filters: &[Filter]) -> Self {
        Self { filters: filters.to_vec(), ..Self::default() }
    }

    /// Those with one of these ids, unless there are none.
    pub(crate) fn ids(mut self, ids: &[String]) -> Self {
        self.ids = Some(ids.to_vec()).filter(|ids| !ids.is_empty());
        self
    }

    /// So many at most.
    pub(crate) fn max(mut self, max: Option<u64>) -> Self {
        self.left = max;
        self
    }

    /// How many messages there can be in which all that is meant is found.
    pub(crate) fn most(&self) -> u64 {
        let any = self.ids.is_none() && self.filters.is_empty();
        self.left.filter(|_| any).unwrap_or(u64::MAX)
    }

    /// Whether it means no more than has been taken.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == Some(0) || self.ids.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether a message is meant; it counts then.
    pub(crate) fn take(&mut self, message: &Message) -> bool {
        if self.left == Some(0) || !self.filters.iter().all(|filter| filter.matches(message)) {
            return false;
        }
        if let Some(ids) = &mut self.ids {
            let id = message.properties.message_id.as_deref();
            let Some(at) = ids.iter().position(|wanted| Some(wanted.as_str()) == id) else { return false };
            ids.swap_remove(at);
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }

    /// The ids that were not found.
    pub(crate) fn missing(&self) -> &[String] {
        self.ids.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_once() {
        let mut choice = Choice::default().ids(&["a".to_owned(), "b".to_owned()]);
        let message = |id| Message::new("").id(id);
        assert_eq!(["a", "x", "a"].map(|id| choice.take(&message(id))), [true, false, false]);
        assert!(!choice.is_complete());
        assert_eq!(choice.missing(), ["b"]);
        assert!(choice.take(&message("b")) && choice.is_complete());
    }

    #[test]
    fn so_many_that_match() {
        let filter = "type=mail".parse().expect("a filter");
        let mut choice = Choice::by(&[filter]).max(Some(2));
        let message = |name| Message::new("").message_type(name);
        let taken = ["mail", "order", "mail", "mail"].map(|name| choice.take(&message(name)));
        assert_eq!(taken, [true, false, true, false]);
        assert!(choice.is_complete());
        assert!(!Choice::default().is_complete() && Choice::default().take(&message("x")));
    }

    #[test]
    fn what_is_looked_for_may_be_anywhere() {
        let filter = "type=mail".parse().expect("a filter");
        assert_eq!(Choice::default().max(Some(2)).most(), 2);
        let all = [Choice::default(), Choice::by(&[filter]).max(Some(2)), Choice::default().ids(&["a".to_owned()])];
        assert_eq!(all.map(|choice| choice.most()), [u64::MAX; 3]);
    }
}
