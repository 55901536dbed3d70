//! Topic patterns, as AMQP 0-9-1 defines them.

use std::collections::{BTreeSet, HashSet};

/// Whether a topic pattern matches a routing key: both are words separated by dots, `*` stands for exactly one word and
/// `#` for any number of words, none included (AMQP 0-9-1 specification, section 3.1.3.3).
pub fn topic_matches(pattern: &str, routing_key: &str) -> bool {
    CompiledPattern::new(pattern).matches(routing_key)
}

/// A topic pattern, ready to be matched often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledPattern(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Exactly(String),
    One,
    Any,
}

impl CompiledPattern {
    /// Takes a pattern apart; every text is one.
    pub fn new(pattern: &str) -> Self {
        let word = |word| match word {
            "*" => Word::One,
            "#" => Word::Any,
            word => Word::Exactly(word.to_owned()),
        };
        Self(words(pattern).map(word).collect())
    }

    /// Whether it matches a routing key. Takes time in proportion to both lengths multiplied, at worst.
    pub fn matches(&self, routing_key: &str) -> bool {
        let key: Vec<&str> = words(routing_key).collect();
        let (mut p, mut k) = (0, 0);
        // Where to resume if a later word does not match: the last `#`, which then takes one word more.
        let mut resume: Option<(usize, usize)> = None;
        while k < key.len() {
            match self.0.get(p) {
                Some(Word::Any) => {
                    resume = Some((p, k));
                    p += 1;
                    continue;
                }
                Some(Word::One) => {}
                Some(Word::Exactly(word)) if word == key[k] => {}
                _ => {
                    let Some((any, taken)) = resume else { return false };
                    resume = Some((any, taken + 1));
                    (p, k) = (any + 1, taken + 1);
                    continue;
                }
            }
            p += 1;
            k += 1;
        }
        self.0[p..].iter().all(|word| *word == Word::Any)
    }

    /// Whether it has no wildcard, and so matches exactly one routing key.
    pub fn is_exact(&self) -> bool {
        self.0.iter().all(|word| matches!(word, Word::Exactly(_)))
    }

    /// Whether it matches every routing key that the other one matches.
    ///
    /// Walks through all keys of the other one at once: what either has left to match after each word. Takes a time that
    /// can double with each word of either pattern; it is for patterns that programmers write.
    pub fn covers(&self, other: &Self) -> bool {
        // A word that neither has stands for all such words.
        let named = self.0.iter().chain(&other.0).filter_map(Word::name);
        let alphabet: BTreeSet<Option<&str>> = named.map(Some).chain([None]).collect();
        let start = (other.reached(&[0]), self.reached(&[0]));
        let (mut seen, mut open) = (HashSet::from([start.clone()]), vec![start]);
        while let Some((theirs, ours)) = open.pop() {
            if theirs.contains(&other.0.len()) && !ours.contains(&self.0.len()) {
                return false;
            }
            for word in &alphabet {
                let next = (other.step(&theirs, *word), self.step(&ours, *word));
                if !next.0.is_empty() && seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        true
    }

    /// These positions, and those behind each `#` that may stand for nothing.
    fn reached(&self, positions: &[usize]) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        for position in positions {
            let words = self.0[*position..].iter().take_while(|word| **word == Word::Any).count();
            reached.extend(*position..=position + words);
        }
        reached
    }

    /// The positions after one more word; `None` is a word that the pattern does not name.
    fn step(&self, positions: &BTreeSet<usize>, word: Option<&str>) -> BTreeSet<usize> {
        let after = |position: &usize| match self.0.get(*position)? {
            Word::Any => Some(*position),
            Word::One => Some(position + 1),
            Word::Exactly(own) => (Some(own.as_str()) == word).then_some(position + 1),
        };
        self.reached(&positions.iter().filter_map(after).collect::<Vec<_>>())
    }
}

impl Word {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Exactly(word) => Some(word),
            Self::One | Self::Any => None,
        }
    }
}

/// The words of a key; an empty key has none, as in RabbitMQ.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_amqp_says() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*", "", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.c.b.c", true),
            ("a.#.*", "a", false),
            ("#.a.#.b", "x.a.y.a.b", true),
            ("#.a.#.b", "x.a.y.a.c", false),
            ("a..b", "a..b", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(topic_matches(pattern, key), expected, "{pattern:?} on {key:?}");
        }
    }

    #[test]
    fn covering_is_matching_all_that_the_other_matches() {
        for (one, other, expected) in [
            ("a.*", "a.b", true),
            ("a.b", "a.*", false),
            ("#", "a.#.b", true),
            ("a.#", "a.*.c", true),
            ("a.*", "a.#", false),
            ("a.#", "a", true),
            ("*.#", "#.a", true),
            ("*.#", "#", false),
            ("#.*", "*.#", true),
            ("#.a.#", "#.a.b.#", true),
            ("a.*", "*.a", false),
            ("", "#", false),
            ("#", "", true),
        ] {
            assert_eq!(CompiledPattern::new(one).covers(&CompiledPattern::new(other)), expected, "{one:?}, {other:?}");
        }
    }

    #[test]
    fn covering_agrees_with_matching_every_short_key() {
        // All patterns of up to three words, and keys of up to five; `x` is a word that no pattern has.
        let texts = |words: &[&str], length: usize| {
            let mut texts = vec![String::new()];
            let mut last = vec![String::new()];
            for _ in 0..length {
                let longer = |text: &String| {
                    let dot = if text.is_empty() { "" } else { "." };
                    words.iter().map(|word| format!("{text}{dot}{word}")).collect::<Vec<_>>()
                };
                last = last.iter().flat_map(longer).collect();
                texts.extend(last.iter().cloned());
            }
            texts
        };
        let keys = texts(&["a", "b", "x"], 5);
        let patterns: Vec<_> = texts(&["a", "b", "*", "#"], 3).iter().map(|text| CompiledPattern::new(text)).collect();
        let matched: Vec<Vec<bool>> =
            patterns.iter().map(|pattern| keys.iter().map(|key| pattern.matches(key)).collect()).collect();
        for (one, by_one) in patterns.iter().zip(&matched) {
            for (other, by_other) in patterns.iter().zip(&matched) {
                let all = by_one.iter().zip(by_other).all(|(one, other)| *one || !other);
                assert_eq!(one.covers(other), all, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn many_wildcards_end_in_time() {
        let pattern = "#.a.".repeat(30) + "b";
        assert!(!topic_matches(&pattern, &"a.".repeat(2000)));
    }
}
