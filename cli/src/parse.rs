//! Values of arguments.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
