//! Ports for brokers and proxies that stay theirs while nobody listens on them.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

/// Below the ports that systems give to outgoing connections, which could take one while its broker is down.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const TRIES: u16 = 500;

/// A free port of the loopback interface that nobody else who asks here gets while this exists.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Any free port.
    pub(crate) fn any() -> io::Result<Self> {
        let span = RANGE.end - RANGE.start;
        let random = u16::try_from(RandomState::new().build_hasher().finish() % u64::from(span)).unwrap_or(0);
        for step in 0..TRIES {
            if let Some(port) = Self::take(RANGE.start + (random + step) % span)? {
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port was found"))
    }

    /// This port, if it is free.
    pub(crate) fn take(number: u16) -> io::Result<Option<Self>> {
        // One for each user, who could not write to that of another.
        let user = geteuid().as_raw();
        let folder = std::env::temp_dir().join(format!("swarrot-ports-{user}"));
        fs::create_dir_all(&folder)?;
        // The lock dies with the process; the file is left, since removing it could pull it away from under another.
        let Ok(lock) = OpenOptions::new().create(true).append(true).open(folder.join(number.to_string())) else {
            return Ok(None);
        };
        let free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(free.then_some(Self { number, _lock: lock }))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_goes_to_one_at_a_time() {
        let port = Port::any().expect("a port");
        assert!(Port::take(port.number()).expect("the lock files").is_none());
        let number = port.number();
        drop(port);
        assert!(Port::take(number).expect("the lock files").is_some());
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let port = Port::any().expect("a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).expect("the port is free");
        let number = port.number();
        drop(port);
        assert!(Port::take(number).expect("the lock files").is_none());
        drop(listener);
    }
}
