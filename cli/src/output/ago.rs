//! How long ago something was.

use std::time::{SystemTime, UNIX_EPOCH};

use super::time;

/// How long ago a time in seconds since the Unix epoch was, in its two largest units; one that is still to come as it is.
pub(crate) fn ago(at: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    since(at, now)
}

fn since(at: u64, now: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let Some(passed) = now.checked_sub(at) else { return time(at) };
    let Some(largest) = UNITS.iter().position(|(seconds, _)| passed >= *seconds) else { return "now".to_owned() };
    let mut rest = passed;
    let mut words = Vec::new();
    for (seconds, unit) in UNITS.iter().skip(largest).take(2) {
        if rest >= *seconds {
            words.push(format!("{}{unit}", rest / seconds));
        }
        rest %= seconds;
    }
    format!("{} ago", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units() {
        let passed = |seconds: u64| since(1_000_000_000 - seconds, 1_000_000_000);
        for (seconds, expected) in [
            (0, "now"),
            (1, "1s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (3661, "1h 1m ago"),
            (3601, "1h ago"),
            (86400 * 400 + 7200, "400d 2h ago"),
        ] {
            assert_eq!(passed(seconds), expected);
        }
        assert_eq!(since(1_000_000_100, 1_000_000_000), "2001-09-09T01:48:20Z", "clocks differ");
    }
}
