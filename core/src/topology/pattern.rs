//! Topic patterns, as AMQP 0-9-1 defines them.

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
    fn many_wildcards_end_in_time() {
        let pattern = "#.a.".repeat(30) + "b";
        assert!(!topic_matches(&pattern, &"a.".repeat(2000)));
    }
}
