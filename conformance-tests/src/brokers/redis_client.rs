//! The few words of Redis's protocol that starting servers needs.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to one server.
#[derive(Debug)]
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Runs a command that answers with `OK`.
    pub(super) fn ok(&mut self, command: &[&str]) -> io::Result<()> {
        match self.send(command)?.as_str() {
            "+OK" => Ok(()),
            other => Err(io::Error::other(format!("{}: {other}", command.join(" ")))),
        }
    }

    /// Runs a command that answers with a text.
    pub(super) fn bulk(&mut self, command: &[&str]) -> io::Result<String> {
        let first = self.send(command)?;
        let length = first.strip_prefix('$').and_then(|length| length.parse().ok());
        let length: usize = length.ok_or_else(|| io::Error::other(format!("{}: {first}", command.join(" "))))?;
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text)?;
        text.truncate(length);
        String::from_utf8(text).map_err(io::Error::other)
    }

    /// Sends a command; the first line of the answer.
    fn send(&mut self, command: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            write!(request, "${}\r\n{word}\r\n", word.len())?;
        }
        self.0.get_mut().write_all(&request)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
