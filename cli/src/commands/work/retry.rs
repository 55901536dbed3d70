//! `--retry`.

use std::time::Duration;

use swarrot::config::{Changes, OptionValue};

use crate::parse::duration;

pub(super) const HELP: &str = "\
When to try again: 30s..30m*3 are delays that double from the first to the second, three retries; 10s*5 is the same delay \
five times; 30s,3m,30m is a list; polynomial are those of Sidekiq. Each delay is drawn between half of it and the whole. \
Without a file it is 30s..30m*3, unless told";

/// When to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delays {
    when: When,
    retries: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Fixed(Duration),
    Growing(Duration, Duration),
    List(Vec<Duration>),
    Polynomial,
}

/// When to try again, such as `30s..30m*3`: delays that double from the first to the second, three retries; `10s*5`: the same
/// delay five times; `30s,3m,30m`: a list; `polynomial`.
///
/// # Errors
/// What is wrong, in one line.
pub(super) fn parse(text: &str) -> Result<Delays, String> {
    let (delays, retries) = match text.split_once('*') {
        None => (text, None),
        Some((delays, n)) => {
            let wrong = || format!("{n:?} is no number of retries; write for instance 30s..30m*3");
            (delays, Some(n.parse::<u32>().ok().filter(|n| *n > 0 && *n < u32::MAX).ok_or_else(wrong)?))
        }
    };
    let when = if let Some((first, max)) = delays.split_once("..") {
        let (first, max) = (duration(first)?, duration(max)?);
        if max < first {
            return Err(format!("{delays}: the delays grow, so the second is the longer one"));
        }
        When::Growing(first, max)
    } else if delays.contains(',') {
        When::List(delays.split(',').map(duration).collect::<Result<_, _>>()?)
    } else if delays == "polynomial" {
        When::Polynomial
    } else {
        When::Fixed(duration(delays)?)
    };
    Ok(Delays { when, retries })
}

impl Delays {
    /// As options of a retry, in place of all that a file says of it.
    pub(super) fn add(&self, changes: Changes, origin: &str, layer: &str) -> Changes {
        let text = |time: &Duration| humantime::format_duration(*time).to_string();
        let changes = changes.layer_anew(origin, layer);
        let option = |changes: Changes, path: &str, value: OptionValue| changes.option(origin, layer, path, value);
        let changes = match &self.when {
            When::Fixed(delay) => option(changes, "fixed", text(delay).into()),
            When::Growing(first, max) => {
                let changes = option(changes, "exponential.first", text(first).into());
                option(changes, "exponential.max", text(max).into())
            }
            When::List(delays) => option(changes, "list", OptionValue::List(delays.iter().map(text).collect())),
            When::Polynomial => option(changes, "polynomial", "true".into()),
        };
        // Sidekiq's have a chance of their own.
        let changes = if self.when == When::Polynomial { changes } else { option(changes, "jitter", "true".into()) };
        match self.retries {
            Some(retries) => option(changes, "attempts", (retries + 1).to_string().into()),
            None => changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        let of = |text| parse(text).expect(text);
        let s = Duration::from_secs;
        assert_eq!(of("30s..30m*3"), Delays { when: When::Growing(s(30), s(1800)), retries: Some(3) });
        assert_eq!(of("10s*5"), Delays { when: When::Fixed(s(10)), retries: Some(5) });
        assert_eq!(of("30s,3m,30m"), Delays { when: When::List(vec![s(30), s(180), s(1800)]), retries: None });
        assert_eq!(of("polynomial*25"), Delays { when: When::Polynomial, retries: Some(25) });
        for bad in ["", "30", "30s..", "30m..30s", "5s*0", "5s*x", "5s*", "1s,,2s", "*3", "polynomial*"] {
            parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn they_are_options_that_a_file_may_have() {
        let file = "brokers.m = \"memory://\"\n[workers.w]\nqueue = \"q\"\n\
                    layers = [{ layer = \"retry\", fixed = \"1s\", max_age = \"1h\" }]";
        for text in ["30s..30m*3", "10s*5", "1500ms", "30s,3m,30m", "1s,2s*4", "polynomial", "polynomial*9"] {
            let changes = parse(text).expect(text).add(Changes::new(), "--retry", "retry");
            super::super::layers::loader().change("w", changes).parse(file).expect(text);
        }
    }
}
