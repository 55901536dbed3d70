//! Dead letters that are put back to work.

use swarrot::message::names;
use swarrot::{Delivery, Outgoing};

/// A dead letter for its first attempt anew: to where it should go, or failed, or would have failed if it does not say.
pub(crate) fn again(delivery: &Delivery, to: Option<&str>, source: &str) -> Outgoing {
    let mut outgoing = Outgoing::redrive(delivery).unwrap_or_else(|_| {
        // Somebody else has put it there.
        let mut message = delivery.moved_copy();
        message.headers.remove(names::RETRY_ATTEMPTS);
        Outgoing::copy(source, message)
    });
    if let Some(to) = to {
        to.clone_into(&mut outgoing.routing_key);
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use swarrot::{Message, Reason, Receipt};

    use super::*;

    #[test]
    fn to_where_it_failed_unless_told() {
        let failed = Delivery::new("mails", Receipt::new(1, 1), Message::new("b"));
        let parked = Delivery::new("q.dead", Receipt::new(1, 2), failed.dead_letter_copy(&Reason::new("no")));
        assert_eq!(again(&parked, None, "q").routing_key, "mails");
        assert_eq!(again(&parked, Some("other"), "q").routing_key, "other");
        let foreign = Message::new("b").header(names::RETRY_ATTEMPTS, 3_i64);
        let foreign = again(&Delivery::new("q.dead", Receipt::new(1, 3), foreign), None, "q");
        assert_eq!((foreign.routing_key.as_str(), foreign.message.retry_attempts()), ("q", 0));
    }
}
