//! The mark of a queue: it changes when somebody takes deliveries from their provider.

/// The mark as it was last heard of. Marks are numbered, so that a delivery need only keep a number.
#[derive(Debug, Default)]
pub(super) struct Mark {
    number: u64,
    text: String,
}

impl Mark {
    /// The present one's number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes what the mark is now; empty if there is none.
    pub(super) fn set(&mut self, text: &str) {
        if self.text != text {
            text.clone_into(&mut self.text);
            self.number += 1;
        }
    }

    /// The mark, if there is one and it was there when something was read with this number.
    pub(super) fn since(&self, number: u64) -> Option<&str> {
        (self.number == number && !self.text.is_empty()).then_some(&*self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_marked() {
        let mut mark = Mark::default();
        assert_eq!(mark.since(mark.number()), None, "there is none yet");
        mark.set("a");
        let read = mark.number();
        mark.set("a");
        assert_eq!(mark.since(read), Some("a"));
        mark.set("");
        assert_eq!((mark.since(read), mark.since(mark.number())), (None, None));
        mark.set("a");
        assert_eq!(mark.since(read), None, "not even if it comes back");
    }
}
