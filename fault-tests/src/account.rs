//! What became of all messages, counted.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::books::{Books, Record};
use crate::load::{FAILURES, Kind};

/// What became of all messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The broker has confirmed them.
    pub(crate) confirmed: u64,
    /// A handler has done with them, or they were parked as they should be.
    pub(crate) delivered: u64,
    /// Confirmed and gone.
    pub(crate) lost: u64,
    /// Not lost, but gone with a queue that an operator deleted.
    pub(crate) deleted: u64,
    /// Handlers that ran once more than they should have.
    pub(crate) duplicated: u64,
    /// Parked, as they should be.
    pub(crate) parked: u64,
    /// Parked, but should not be.
    pub(crate) wrongly_parked: u64,
    /// Came, but nobody sent them.
    pub(crate) unexpected: u64,
    /// A few of what is wrong, in words.
    pub(crate) examples: Vec<String>,
}

/// What is left in the queues in the end: each message's id, and how often it is there.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) queue: HashMap<String, u32>,
    pub(crate) parked: HashMap<String, u32>,
}

const EXAMPLES: usize = 5;

impl Account {
    /// Counts. `deleted`: when queues were deleted, in order.
    pub(crate) fn of(books: &Books, leftovers: &Leftovers, deleted: &[u64]) -> Self {
        let mut account = Self::default();
        for (id, kind, record) in books.messages() {
            let parked = leftovers.parked.get(id).copied().unwrap_or(0);
            let waiting = leftovers.queue.get(id).copied().unwrap_or(0);
            account.count(id, kind, record, parked, waiting, deleted);
        }
        let known: HashSet<_> = books.messages().map(|(id, ..)| id).collect();
        for id in leftovers.parked.keys().chain(leftovers.queue.keys()).filter(|id| !known.contains(id.as_str())) {
            account.unexpected += 1;
            account.example(format!("{id} was never sent"));
        }
        account
    }

    /// Adds another one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.confirmed += other.confirmed;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.deleted += other.deleted;
        self.duplicated += other.duplicated;
        self.parked += other.parked;
        self.wrongly_parked += other.wrongly_parked;
        self.unexpected += other.unexpected;
        other.examples.iter().for_each(|text| self.example(text.clone()));
    }

    fn count(&mut self, id: &str, kind: Kind, record: &Record, parked: u32, waiting: u32, deleted: &[u64]) {
        let confirmed = record.confirmed.is_some();
        self.confirmed += u64::from(confirmed);
        if record.sent.is_none() {
            self.unexpected += 1;
            self.example(format!("{id} was never sent"));
        }
        let over = if kind.is_to_be_parked() { parked > 0 } else { record.done > 0 };
        self.delivered += u64::from(over);
        if kind.is_to_be_parked() {
            self.parked += u64::from(parked > 0);
        } else if parked > 0 {
            self.wrongly_parked += 1;
            self.example(format!("{id} should not be parked: {record:?}"));
        }
        if confirmed && !over {
            // What is sent before a queue is deleted may go with it; so may what is published then by a handler's retry.
            let went = record.sent.is_some_and(|sent| deleted.iter().any(|at| sent <= *at));
            if waiting == 0 && parked == 0 && went {
                self.deleted += 1;
            } else if waiting > 0 || parked == 0 {
                self.lost += 1;
                self.example(format!("{id} is lost: {record:?}, {waiting} times in the queue, {parked} parked"));
            }
        }
        let runs = match kind {
            Kind::Plain => record.done.saturating_sub(1),
            Kind::Twice => record.done.saturating_sub(1) + record.failed.saturating_sub(FAILURES),
            // A message that ends its process is meant to come again.
            Kind::Hopeless => record.gave_up.max(parked).saturating_sub(1),
            Kind::Poison => parked.saturating_sub(1),
        };
        // What is still there although it is done would have run once more.
        self.duplicated += u64::from(runs) + u64::from(if over { waiting } else { 0 });
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { confirmed, delivered, lost, deleted, duplicated, parked, wrongly_parked, unexpected, .. } = self;
        write!(
            f,
            "confirmed {confirmed}, delivered {delivered}, lost {lost}, gone with a deleted queue {deleted}, \
             duplicated {duplicated}, parked {parked}, wrongly parked {wrongly_parked}, unexpected {unexpected}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(id: &str, record: Record, parked: u32, waiting: u32, deleted: &[u64]) -> Account {
        let mut account = Account::default();
        account.count(id, Kind::of(id).expect("a kind"), &record, parked, waiting, deleted);
        account
    }

    fn record(done: u32) -> Record {
        Record { sent: Some(10), confirmed: Some(11), done, ..Record::default() }
    }

    #[test]
    fn what_is_confirmed_and_gone_is_lost() {
        let account = count("a.k", record(0), 0, 0, &[]);
        assert_eq!((account.confirmed, account.delivered, account.lost), (1, 0, 1));
        assert_eq!(count("a.k", Record { confirmed: None, ..record(0) }, 0, 0, &[]).lost, 0);
        assert_eq!(count("a.h", Record { gave_up: 1, ..record(0) }, 0, 0, &[]).lost, 1, "given up on, but not parked");
        assert_eq!(count("a.k", record(0), 0, 1, &[]).lost, 1, "nobody has handled it in all that time");
    }

    #[test]
    fn what_an_operator_deleted_is_told_apart() {
        let account = count("a.k", record(0), 0, 0, &[9, 10]);
        assert_eq!((account.lost, account.deleted), (0, 1));
        assert_eq!(count("a.k", record(0), 0, 0, &[9]).lost, 1);
        assert_eq!(count("a.k", record(1), 0, 0, &[10]).deleted, 0);
    }

    #[test]
    fn what_runs_too_often_is_a_duplicate() {
        assert_eq!(count("a.k", record(1), 0, 0, &[]).duplicated, 0);
        assert_eq!(count("a.k", record(3), 0, 0, &[]).duplicated, 2);
        assert_eq!(count("a.k", record(1), 0, 1, &[]).duplicated, 1);
        assert_eq!(count("a.t", Record { failed: 2, ..record(1) }, 0, 0, &[]).duplicated, 0);
        assert_eq!(count("a.t", Record { failed: 3, ..record(1) }, 0, 0, &[]).duplicated, 1);
        assert_eq!(count("a.h", Record { gave_up: 1, ..record(0) }, 2, 0, &[]).duplicated, 1);
    }

    #[test]
    fn who_does_not_belong_among_the_dead_is_noticed() {
        let account = count("a.k", record(1), 1, 0, &[]);
        assert_eq!((account.wrongly_parked, account.parked, account.lost), (1, 0, 0));
        let account = count("a.x", Record { crashed: 6, ..record(0) }, 1, 0, &[]);
        assert_eq!((account.wrongly_parked, account.parked, account.delivered), (0, 1, 1));
    }
}
