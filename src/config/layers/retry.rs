//! `retry`.

use std::time::Duration;

use swarrot_core::layer;

use super::super::read::{FromValue, Value, options};
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Tries again later what has failed, until the attempts or the age are used up. One of `fixed`, `list`, `exponential` and `polynomial` says when.
    pub(super) struct Retry {
        /// The same delay before each retry.
        fixed: Option<Duration>,
        /// These delays, one after the other; the last one stays.
        list: Option<Vec<Duration>>,
        /// Delays that double.
        exponential: Option<Growing>,
        /// Sidekiq's delays: n⁴ + 15 s before the retry with the number n, from 0, and up to 10 s × (n + 1) by chance.
        polynomial: bool = false,
        /// How often a message is handled in all, the first time included.
        attempts: Option<u32> => "4; with `list` one more than it has delays",
        /// Gives up once a message would be older than this when it came back.
        max_age: Option<Duration> => "age does not matter",
        /// Chance in delays: `"equal"`, or `true`, draws each between half of it and the whole, `"full"` between nothing and the whole, `"20%"` from so much around it.
        jitter: Option<Jitter> => "none; with `polynomial` its own",
    }
}

options! {
    /// Durations that double.
    pub(in crate::config) struct Growing {
        /// The first one.
        first: Duration,
        /// The longest one.
        max: Duration,
    }
}

/// Chance in delays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Jitter {
    Off,
    Equal,
    Full,
    Percent(u8),
}

impl FromValue for Jitter {
    const EXPECTED: &'static str = "true, false, \"equal\", \"full\" or a share such as \"20%\"";
    const KIND: &'static str = "`true`, `false`, `\"equal\"`, `\"full\"` or a share such as `\"20%\"`";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.word(Self::EXPECTED, |word| match word {
            "false" => Some(Self::Off),
            "true" | "equal" => Some(Self::Equal),
            "full" => Some(Self::Full),
            share => {
                let percent = share.strip_suffix('%')?.trim_end().parse().ok();
                percent.filter(|percent| *percent <= 100).map(Self::Percent)
            }
        })
    }
}

impl Growing {
    /// Fails if the longest one is not the longest.
    pub(in crate::config) fn check(&self, key: &'static str) -> Result<(), Refusal> {
        if self.max < self.first {
            return Err(Refusal::at(key, "\"max\" is shorter than \"first\"; exchange them"));
        }
        Ok(())
    }
}

impl Retry {
    fn delays(&mut self) -> Result<layer::Retry, Refusal> {
        match (self.fixed, self.list.take(), &self.exponential, self.polynomial) {
            (Some(delay), None, None, false) => Ok(layer::Retry::fixed(delay)),
            (None, Some(delays), None, false) if delays.is_empty() => {
                Err(Refusal::at("list", "without a delay there is no retry; add one, such as \"30s\""))
            }
            (None, Some(delays), None, false) => Ok(layer::Retry::list(delays)),
            (None, None, Some(growing), false) => {
                growing.check("exponential")?;
                Ok(layer::Retry::exponential(growing.first, growing.max))
            }
            (None, None, None, true) => Ok(layer::Retry::polynomial()),
            (None, None, None, false) => {
                Err(Refusal::new("the delays are missing; add one of: fixed, list, exponential, polynomial"))
            }
            _ => Err(Refusal::new("fixed, list, exponential and polynomial exclude each other; leave one")),
        }
    }
}

impl LayerOptions for Retry {
    const LAYER: &'static str = "retry";

    fn build(mut self) -> Result<AnyLayer, Refusal> {
        let mut retry = self.delays()?;
        match self.attempts {
            Some(0) => return Err(Refusal::at("attempts", "the first attempt counts too; 1 is no retry at all")),
            Some(attempts) => retry = retry.attempts(attempts),
            None => {}
        }
        if let Some(age) = self.max_age {
            retry = retry.max_age(age);
        }
        retry = match self.jitter {
            None => retry,
            Some(Jitter::Off) => retry.jitter_percent(0),
            Some(Jitter::Equal) => retry.jitter(),
            Some(Jitter::Full) => retry.full_jitter(),
            Some(Jitter::Percent(percent)) => retry.jitter_percent(percent),
        };
        Ok(AnyLayer::new(retry))
    }
}
