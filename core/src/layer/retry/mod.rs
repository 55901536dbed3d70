//! Trying again, later and later.

mod delays;
mod handler;
mod jitter;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::delays::Delays;
pub use self::handler::RetryHandler;
use self::jitter::Jitter;
use crate::marks::{RetryAfter, chain};

/// Turns a handler's error into a retry after a delay, until the attempts are used up or the message is too old; the last
/// error goes through.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::layer::Retry;
///
/// // After 30 s, 1 min, 2 min … up to 30 min, each a little off; five attempts in all, and none after two hours.
/// let retry = Retry::exponential(Duration::from_secs(30), Duration::from_secs(30 * 60))
///     .attempts(5)
///     .max_age(Duration::from_secs(2 * 60 * 60))
///     .jitter();
/// ```
///
/// What an error says goes first: one marked [`Permanent`](crate::Permanent) goes through at once, and one marked
/// [`RetryAfter`] names its own delay. By its class it may have a schedule of its own, see [`on`](Self::on). A handler that
/// returns [`Outcome::Retry`](crate::Outcome::Retry) itself decides alone, as often as it likes.
///
/// The attempts are counted in the header `swarrot_retry_attempts`, which PHP Swarrot's `RetryProcessor` counts in too: a
/// message may be retried by both in turn.
///
/// A delay longer than the backend can do ([`Capabilities::max_delay`](crate::Capabilities::max_delay)) is not shortened: the
/// worker parks the message, and the reason says so. Choose delays that fit.
#[derive(Clone)]
pub struct Retry {
    delays: Delays,
    jitter: Jitter,
    attempts: u32,
    max_age: Option<Duration>,
    rules: Vec<Rule>,
}

/// Errors with a schedule of their own.
#[derive(Clone)]
struct Rule {
    applies: Arc<Applies>,
    retry: Retry,
}

type Applies = dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync;

/// What is decided about a failed attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Again(Duration),
    GiveUp(&'static str),
}

impl Retry {
    /// Attempts in all, unless told otherwise: 4, that is three retries.
    pub const DEFAULT_ATTEMPTS: u32 = 4;

    /// The same delay before each retry.
    pub fn fixed(delay: Duration) -> Self {
        Self::with(Delays::List(vec![delay]))
    }

    /// These delays, one after the other; the last one stays. One retry for each, unless [`attempts`](Self::attempts)
    /// says otherwise; without a delay there is no retry.
    pub fn list(delays: impl IntoIterator<Item = Duration>) -> Self {
        let delays: Vec<_> = delays.into_iter().collect();
        let attempts = u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1);
        Self::with(Delays::List(delays)).attempts(attempts)
    }

    /// Delays that double from `first` up to `max`.
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Self::with(Delays::Exponential { first, max })
    }

    /// Sidekiq's delays: n⁴ + 15 s before the retry with the number n, from 0, and a random time of up to 10 s × (n + 1) on
    /// top, unless another jitter is chosen. That is about 20 s, 26 s, 46 s, 2 min, 5 min … and three weeks in all for its
    /// 25 retries (`.attempts(26)`).
    ///
    /// The formula is that of Sidekiq's documentation ("Error Handling", automatic job retry).
    pub fn polynomial() -> Self {
        Self { jitter: Jitter::Growing(delays::SIDEKIQ_SPREAD), ..Self::with(Delays::Polynomial) }
    }

    /// Delays by a function of your own: it gets the attempt that failed, from 1, and its error. `None` gives up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use swarrot_core::layer::Retry;
    ///
    /// let retry = Retry::from_fn(|attempt, _error| Some(Duration::from_secs(10) * attempt)).attempts(10);
    /// ```
    pub fn from_fn<F>(delay: F) -> Self
    where
        F: Fn(u32, &(dyn StdError + 'static)) -> Option<Duration> + Send + Sync + 'static,
    {
        Self::with(Delays::Own(Arc::new(delay)))
    }

    /// No retry at all: for [`on`](Self::on) and [`when`](Self::when), or to retry nothing but what these name.
    pub fn never() -> Self {
        Self::list([])
    }

    fn with(delays: Delays) -> Self {
        Self { delays, jitter: Jitter::None, attempts: Self::DEFAULT_ATTEMPTS, max_age: None, rules: Vec::new() }
    }

    /// Sets how often a message is handled in all, the first time included.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Gives up once a message would be older than this when it came back; unless told, age does not matter.
    ///
    /// The age counts from the earliest time that is known: the message's timestamp property, its first failure, or now
    /// ([`Delivery::age`](crate::Delivery::age)). After a redrive it counts from then.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Draws each delay between half of it and the whole ("equal jitter"), so that messages that failed together do not come
    /// back together.
    ///
    /// The names are those of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    pub fn jitter(mut self) -> Self {
        self.jitter = Jitter::Equal;
        self
    }

    /// Draws each delay between nothing and the whole of it ("full jitter"): the widest spread, for many messages that wait
    /// for one thing.
    pub fn full_jitter(mut self) -> Self {
        self.jitter = Jitter::Full;
        self
    }

    /// Draws each delay from so many per cent around it, a hundred at most: with 20, ten minutes are eight to twelve. It may
    /// be longer than the longest delay of [`exponential`](Self::exponential) by that.
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.jitter = Jitter::Percent(percent.min(100));
        self
    }

    /// Retries errors of this type, or with a source of this type, by a schedule of their own.
    ///
    /// The attempts are the message's own, whatever it failed of before. Where several rules apply, the first one that was
    /// added decides.
    ///
    /// ```
    /// use std::time::Duration;
    /// use swarrot_core::layer::{Retry, TimedOut};
    ///
    /// const MINUTE: Duration = Duration::from_secs(60);
    /// let retry = Retry::exponential(MINUTE, 60 * MINUTE)
    ///     .on::<std::num::ParseIntError>(Retry::never()) // parked at once
    ///     .on::<TimedOut>(Retry::fixed(10 * MINUTE).attempts(2));
    ///
    /// // The other way round: nothing is retried but this.
    /// let retry = Retry::never().on::<std::io::Error>(Retry::fixed(MINUTE));
    /// ```
    pub fn on<E: StdError + 'static>(self, retry: Self) -> Self {
        self.when(|error| chain(error).any(<dyn StdError>::is::<E>), retry)
    }

    /// Retries the errors for which this answers true by a schedule of their own, as [`on`](Self::on) does for a type. The
    /// error is the handler's; look into its sources yourself.
    pub fn when<P>(mut self, applies: P, retry: Self) -> Self
    where
        P: Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    {
        self.rules.push(Rule { applies: Arc::new(applies), retry });
        self
    }

    /// The delay after this attempt, from 1, has failed of this error; `None` if it was the last. With jitter it is another
    /// one each time. The message's age is not looked at.
    ///
    /// ```
    /// use std::time::Duration;
    /// use swarrot_core::layer::Retry;
    ///
    /// let error = std::io::Error::other("busy");
    /// let retry = Retry::list([Duration::from_secs(30), Duration::from_secs(180)]);
    /// let delays: Vec<_> = (1..).map_while(|attempt| retry.delay_after(attempt, &error)).collect();
    /// assert_eq!(delays, [Duration::from_secs(30), Duration::from_secs(180)]);
    /// ```
    pub fn delay_after(&self, attempt: u32, error: &(dyn StdError + 'static)) -> Option<Duration> {
        match self.decide(attempt, || None, error) {
            Verdict::Again(after) => Some(after),
            Verdict::GiveUp(_) => None,
        }
    }

    fn decide(
        &self,
        attempt: u32,
        age: impl FnOnce() -> Option<Duration>,
        error: &(dyn StdError + 'static),
    ) -> Verdict {
        let mut chosen = self;
        // A schedule may have rules of its own.
        while let Some(rule) = chosen.rules.iter().find(|rule| (rule.applies)(error)) {
            chosen = &rule.retry;
        }
        chosen.decide_alone(attempt, age, error)
    }

    fn decide_alone(
        &self,
        attempt: u32,
        age: impl FnOnce() -> Option<Duration>,
        error: &(dyn StdError + 'static),
    ) -> Verdict {
        if attempt >= self.attempts {
            return Verdict::GiveUp("no attempts are left");
        }
        let own = || self.delays.after(attempt, error).map(|delay| self.jitter.draw(delay, attempt));
        let Some(after) = RetryAfter::of(error).or_else(own) else {
            return Verdict::GiveUp("there is no delay for this error");
        };
        match self.max_age {
            Some(max) if age().unwrap_or_default().saturating_add(after) > max => {
                Verdict::GiveUp("the message would be too old")
            }
            _ => Verdict::Again(after),
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("delays", &self.delays)
            .field("jitter", &self.jitter)
            .field("attempts", &self.attempts)
            .field("max_age", &self.max_age)
            .field("rules", &self.rules.iter().map(|rule| &rule.retry).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests;
