//! Waiting until a broker answers, and what its log says if it does not.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::error::BrokerError;

/// A busy machine takes a minute; a broker that hangs should still fail a test.
const START_WAIT: Duration = Duration::from_secs(180);
const ANSWER_WAIT: Duration = Duration::from_secs(5);
const LINES: usize = 5;
const POLL: Duration = Duration::from_millis(25);

/// A question to a broker, and how its answer begins.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    pub(super) broker: &'static str,
    pub(super) question: &'static [u8],
    pub(super) answer: &'static [u8],
}

/// The protocol header; the server answers with a method frame on channel 0.
pub(super) const AMQP: Probe = Probe { broker: "RabbitMQ", question: b"AMQP\x00\x00\x09\x01", answer: b"\x01\x00\x00" };
pub(super) const REDIS: Probe = Probe { broker: "Redis", question: b"PING\r\n", answer: b"+PONG\r\n" };

/// Waits until the broker on this port answers.
pub(super) fn wait_until_ready(probe: Probe, port: u16, daemon: &Daemon, log: &Path) -> Result<(), BrokerError> {
    let deadline = Instant::now() + START_WAIT;
    let old = fs::metadata(log).map_or(0, |log| log.len());
    loop {
        if answers(probe, port).unwrap_or(false) {
            return Ok(());
        }
        let what = if !daemon.is_alive() {
            "ended while it started".to_owned()
        } else if Instant::now() >= deadline {
            format!("did not answer within {} s", START_WAIT.as_secs())
        } else {
            std::thread::sleep(POLL);
            continue;
        };
        let log = complaint(log, old).or_else(|| complaint(&daemon.output(), 0));
        let log = log.unwrap_or_else(|| "nothing".to_owned());
        return Err(BrokerError::NotReady { broker: probe.broker, what, log });
    }
}

fn answers(probe: Probe, port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_WAIT)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.write_all(probe.question)?;
    let mut answer = vec![0; probe.answer.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == probe.answer)
}

/// What a log complains of behind its first bytes, as one line: the first errors, since crash reports follow them, or
/// else the last lines. `None` if there is nothing.
fn complaint(file: &Path, skip: u64) -> Option<String> {
    let bytes = fs::read(file).ok()?;
    let bytes = bytes.get(usize::try_from(skip).ok()?..)?;
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // RabbitMQ frames what it says in lines that are empty but for time, level and process.
    let errors = lines.iter().filter(|line| line.contains("[error]") && !line.ends_with('>'));
    let errors: Vec<&str> = errors.copied().take(LINES).collect();
    let shown = if errors.is_empty() { &lines[lines.len().saturating_sub(LINES)..] } else { &errors };
    (!shown.is_empty()).then(|| shown.join(" | "))
}
