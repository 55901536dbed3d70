//! How long RabbitMQ waits for a settlement.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What a server of this version waits for, unless it is configured (`consumer_timeout`); `None` for ever.
fn usual(version: &str) -> Option<Duration> {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0_u32));
    let version = [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default);
    match version {
        old if old < [3, 8, 15] => None,
        old if old < [3, 8, 17] => Some(15 * MINUTE),
        _ => Some(30 * MINUTE),
    }
}

/// If the longest handler outlasts it.
pub(super) fn warning(longest: Duration, version: &str) -> Option<String> {
    let limit = usual(version).filter(|limit| longest >= *limit)?;
    let limit = humantime::format_duration(limit);
    Some(format!(
        "RabbitMQ takes a message back that is not settled for {limit}, unless configured; raise its consumer_timeout above \
         the longest handler"
    ))
}

/// Where nobody has said how long the longest handler takes.
pub(super) fn note(version: &str) -> Option<String> {
    let limit = humantime::format_duration(usual(version)?);
    Some(format!(
        "RabbitMQ takes a message back that is not settled for {limit}, unless its consumer_timeout says otherwise: \
         `rabbitmq-diagnostics environment` shows it, and --longest-handler holds a time against {limit}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_version() {
        for (version, minutes) in [
            ("3.8.14", None),
            ("3.8.16", Some(15)),
            ("3.8.17", Some(30)),
            ("3.10.8", Some(30)),
            ("4.3.0-rc.1", Some(30)),
        ] {
            assert_eq!(usual(version), minutes.map(|minutes| minutes * MINUTE), "{version}");
        }
    }

    #[test]
    fn only_what_is_too_long_is_warned_of() {
        assert_eq!(warning(29 * MINUTE, "3.10.8"), None);
        assert!(warning(30 * MINUTE, "3.10.8").is_some_and(|line| line.contains("30m") && line.contains("raise")));
        assert_eq!((warning(99 * MINUTE, "3.8.0"), note("3.8.0")), (None, None));
    }
}
