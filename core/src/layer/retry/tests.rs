use std::io;

use super::*;
use crate::error::BoxError;

fn busy() -> io::Error {
    io::Error::other("busy")
}

fn seconds(retry: &Retry) -> Vec<u64> {
    (1..).map_while(|attempt| retry.delay_after(attempt, &busy())).map(|delay| delay.as_secs()).collect()
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[derive(Debug, thiserror::Error)]
#[error("calling failed")]
struct Calling(#[source] BoxError);

#[test]
fn delays_by_attempt() {
    assert_eq!(seconds(&Retry::fixed(secs(5))), [5, 5, 5]);
    assert_eq!(seconds(&Retry::list([secs(30), secs(180), secs(1800)])), [30, 180, 1800]);
    assert_eq!(seconds(&Retry::list([secs(1), secs(2)]).attempts(5)), [1, 2, 2, 2]);
    assert_eq!(seconds(&Retry::exponential(secs(30), secs(200)).attempts(6)), [30, 60, 120, 200, 200]);
    assert_eq!(seconds(&Retry::polynomial().jitter_percent(0).attempts(7)), [15, 16, 31, 96, 271, 640]);
    assert_eq!(seconds(&Retry::from_fn(|n, _| (n < 3).then(|| secs(n.into()))).attempts(9)), [1, 2]);
    assert!(seconds(&Retry::list([]).attempts(5)).is_empty());
    assert!(seconds(&Retry::fixed(secs(5)).attempts(0)).is_empty());
    assert!(seconds(&Retry::never()).is_empty());
}

#[test]
fn sidekiqs_25_retries_take_about_three_weeks() {
    let total: u64 = seconds(&Retry::polynomial().attempts(26)).iter().sum();
    // The formula without chance: the sum of n⁴ + 15 from 0 to 24.
    let least: u64 = (0..25_u64).map(|n| n.pow(4) + 15).sum();
    assert!((least..=least + 10 * 25 * 26 / 2).contains(&total), "{total}");
    assert_eq!(least / (24 * 3600), 20);
}

#[test]
fn a_count_from_elsewhere_does_not_overflow() {
    let delay = |retry: Retry| retry.attempts(u32::MAX).delay_after(u32::MAX - 1, &busy());
    assert_eq!(delay(Retry::exponential(secs(30), secs(200))), Some(secs(200)));
    assert_eq!(delay(Retry::exponential(Duration::from_nanos(1), secs(3600))), Some(secs(3600)));
    assert_eq!(delay(Retry::exponential(Duration::ZERO, Duration::MAX)), Some(Duration::ZERO));
    assert_eq!(delay(Retry::exponential(Duration::MAX, Duration::MAX)), Some(Duration::MAX));
    assert!(delay(Retry::polynomial()).is_some_and(|delay| delay >= Duration::from_secs(u64::MAX)));
}

#[test]
fn an_error_chooses_by_its_type_or_that_of_a_source() {
    let retry = Retry::fixed(secs(1)).on::<io::Error>(Retry::fixed(secs(2)).attempts(3)).on::<Calling>(Retry::never());
    assert_eq!(retry.delay_after(1, &busy()), Some(secs(2)));
    assert_eq!(retry.delay_after(3, &busy()), None, "its own attempts");
    assert_eq!(retry.delay_after(1, &Calling(busy().into())), Some(secs(2)), "the first rule decides");
    assert_eq!(retry.delay_after(1, &Calling("other".into())), None);
    assert_eq!(retry.delay_after(3, &std::fmt::Error), Some(secs(1)));
    let only = Retry::never().on::<io::Error>(Retry::fixed(secs(2)));
    assert_eq!((only.delay_after(1, &busy()), only.delay_after(1, &std::fmt::Error)), (Some(secs(2)), None));
}

#[test]
fn a_predicate_chooses_and_rules_nest() {
    let denied = |error: &(dyn StdError + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let retry = Retry::fixed(secs(1)).on::<io::Error>(Retry::fixed(secs(2)).when(denied, Retry::never()));
    assert_eq!(retry.delay_after(1, &busy()), Some(secs(2)));
    assert_eq!(retry.delay_after(1, &io::Error::from(io::ErrorKind::PermissionDenied)), None);
}

#[test]
fn an_error_names_its_own_delay_within_the_attempts() {
    let later = Calling(RetryAfter::new(busy(), secs(90)).into());
    let retry = Retry::fixed(secs(1)).jitter().attempts(3);
    assert_eq!((retry.delay_after(1, &later), retry.delay_after(2, &later)), (Some(secs(90)), Some(secs(90))));
    assert_eq!(retry.delay_after(3, &later), None);
    // What is marked is still what it is.
    assert_eq!(retry.on::<io::Error>(Retry::never()).delay_after(1, &later), None);
    assert_eq!(Retry::from_fn(|_, _| None).delay_after(1, &later), Some(secs(90)));
}

#[test]
fn too_old_is_when_it_would_come_back() {
    let retry = Retry::fixed(secs(10)).max_age(secs(60));
    let decide = |age: u64| retry.decide(1, || Some(secs(age)), &busy());
    assert_eq!((decide(0), decide(50)), (Verdict::Again(secs(10)), Verdict::Again(secs(10))));
    assert!(matches!(decide(51), Verdict::GiveUp(_)));
    assert_eq!(retry.decide(1, || None, &busy()), Verdict::Again(secs(10)));
    let endless = retry.decide(1, || Some(Duration::MAX), &RetryAfter::new(busy(), Duration::MAX));
    assert!(matches!(endless, Verdict::GiveUp(_)));
}

#[test]
fn debug_tells_the_schedule() {
    let retry = Retry::exponential(secs(1), secs(9)).on::<io::Error>(Retry::from_fn(|_, _| None));
    let text = format!("{retry:?}");
    assert!(text.contains("Exponential(1s to 9s)") && text.contains("Own"), "{text}");
}
