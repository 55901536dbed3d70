//! What Linux knows of a process's memory: see `proc_pid_clear_refs(5)` and `proc_pid_status(5)`.

use std::fs::{self, File};
use std::io::{self, Read as _};

/// Sets the peak of the resident set to what it is now. Since Linux 4.0.
pub(super) fn reset() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

/// The peak of the resident set since then, in bytes.
pub(super) fn peak() -> io::Result<u64> {
    // Larger than the whole file is, on the stack.
    let mut text = [0; 8192];
    let mut length = 0;
    let mut file = File::open("/proc/self/status")?;
    while length < text.len() {
        match file.read(&mut text[length..])? {
            0 => break,
            more => length += more,
        }
    }
    parse(&text[..length]).ok_or_else(|| io::Error::other("/proc/self/status has no VmHWM"))
}

fn parse(status: &[u8]) -> Option<u64> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"VmHWM:"))?;
    let kib = std::str::from_utf8(line).ok()?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        assert_eq!(parse(b"Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 8 kB\n"), Some(1234 * 1024));
        for other in [&b""[..], b"VmHWM: 12", b"VmHWM: many kB", b"VmHWM: 99999999999999999999 kB"] {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn the_kernel_is_asked() {
        assert!(peak().expect("Linux tells") > 100_000);
    }
}
