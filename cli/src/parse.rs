//! Values of arguments.

use std::time::Duration;

use swarrot::layer::Retry;

/// A time such as `90s`, `5m` or `1h 30m`.
///
/// # Errors
/// What is wrong, in one line.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write for instance 90s, 5m or 1h30m"))
}

/// A size such as `512M` or `2GiB`, in bytes; the units are powers of 1024.
///
/// # Errors
/// What is wrong, in one line.
pub(crate) fn size(text: &str) -> Result<u64, &'static str> {
    const WRONG: &str = "a size is a number of bytes, or of K, M or G, such as 512M";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| WRONG)?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(WRONG),
    };
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or(WRONG)
}

/// A number of messages a second.
///
/// # Errors
/// What is wrong, in one line.
pub(crate) fn rate(text: &str) -> Result<f64, &'static str> {
    const WRONG: &str = "a rate is a number of messages a second above 0, such as 50 or 0.5";
    let rate: f64 = text.parse().map_err(|_| WRONG)?;
    // Slower than one in a day is hardly meant.
    if rate.is_finite() && rate >= 1.0 / 86400.0 { Ok(rate) } else { Err(WRONG) }
}

/// When to try again, such as `30s..30m*3`: delays that double from the first to the second, three retries; `10s*5`: the same
/// delay five times; `30s,3m,30m`: a list.
///
/// # Errors
/// What is wrong, in one line.
pub(crate) fn retry(text: &str) -> Result<Retry, String> {
    let (delays, retries) = match text.split_once('*') {
        None => (text, None),
        Some((delays, n)) => {
            let wrong = || format!("{n:?} is no number of retries; write for instance 30s..30m*3");
            (delays, Some(n.parse::<u32>().ok().filter(|n| *n > 0 && *n < u32::MAX).ok_or_else(wrong)?))
        }
    };
    let retry = if let Some((first, max)) = delays.split_once("..") {
        let (first, max) = (duration(first)?, duration(max)?);
        if max < first {
            return Err(format!("{delays}: the delays grow, so the second is the longer one"));
        }
        Retry::exponential(first, max)
    } else if delays.contains(',') {
        Retry::list(delays.split(',').map(duration).collect::<Result<Vec<_>, _>>()?)
    } else {
        Retry::fixed(duration(delays)?)
    };
    Ok(match retries {
        Some(retries) => retry.attempts(retries + 1),
        None => retry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(spec: &str) -> Vec<u64> {
        let retry = retry(spec).expect(spec);
        let failed = std::io::Error::other("failed");
        (1..).map_while(|attempt| retry.delay_after(attempt, &failed)).map(|delay| delay.as_secs()).collect()
    }

    #[test]
    fn retries() {
        assert_eq!(seconds("30s..30m*3"), [30, 60, 120]);
        assert_eq!(seconds("10s*5"), [10; 5]);
        assert_eq!(seconds("30s,3m,30m"), [30, 180, 1800]);
        assert_eq!(seconds("1s,2s*4"), [1, 2, 2, 2]);
        assert_eq!(seconds("5s"), [5, 5, 5]);
        for bad in ["", "30", "30s..", "30m..30s", "5s*0", "5s*x", "5s*", "1s,,2s", "*3"] {
            retry(bad).expect_err(bad);
        }
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!([size("7"), size("512M"), size("2 GiB")], [Ok(7), Ok(512 << 20), Ok(2 << 30)]);
        for bad in ["", "M", "0", "5T", "-1", "99999999999G"] {
            size(bad).expect_err(bad);
        }
        assert_eq!([rate("50"), rate("0.5")], [Ok(50.0), Ok(0.5)]);
        for bad in ["", "0", "-1", "inf", "NaN", "fast"] {
            rate(bad).expect_err(bad);
        }
    }
}
