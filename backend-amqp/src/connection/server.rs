//! What a server says about itself when a connection begins.

use std::sync::Arc;

/// A server, by its own words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    product: String,
    version: String,
}

impl Server {
    /// RabbitMQ of this version, as it would say itself.
    pub(crate) fn rabbitmq(version: &str) -> Self {
        Self(Arc::new(Facts { product: "RabbitMQ".to_owned(), version: version.to_owned() }))
    }

    pub(crate) fn product(&self) -> &str {
        &self.0.product
    }

    pub(crate) fn version(&self) -> &str {
        &self.0.version
    }

    /// Whether it is RabbitMQ of at least this version. What does not tell its version counts as old.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.0.version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        self.0.product.starts_with("RabbitMQ") && version >= (major, minor)
    }
}

/// Gathers a server's first frame, `connection.start`, and reads the server's product and version from it.
#[derive(Default)]
pub(crate) struct Introduction(Vec<u8>);

impl Introduction {
    /// More than any server says; beyond, it is not worth waiting.
    const LIMIT: usize = 64 << 10;
    /// Type, channel and size.
    const FRAME_HEADER: usize = 7;

    /// Takes the next bytes; `Some` once nothing more has to be read.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Server> {
        self.0.extend_from_slice(&bytes[..bytes.len().min(Self::LIMIT - self.0.len())]);
        let size = self.0.get(3..Self::FRAME_HEADER)?;
        let size = u32::from_be_bytes(size.try_into().ok()?) as usize;
        match self.0.get(Self::FRAME_HEADER..Self::FRAME_HEADER + size) {
            Some(payload) => Some(read_start(payload).unwrap_or_default()),
            None if self.0.len() >= Self::LIMIT => Some(Server::default()),
            None => None,
        }
    }
}

/// Reads class, method, protocol version and the table of the server's properties; `None` if it is none.
fn read_start(payload: &[u8]) -> Option<Server> {
    const START: &[u8] = &[0, 10, 0, 10];
    let mut rest = payload.strip_prefix(START)?.get(2..)?;
    let mut table = take_long(&mut rest)?;
    let mut facts = Facts::default();
    while let Some((&length, after)) = table.split_first() {
        let (name, after) = after.split_at_checked(length.into())?;
        let (&kind, after) = after.split_first()?;
        table = after;
        let text = match kind {
            b'S' => take_long(&mut table)?,
            b'F' | b'A' | b'x' => {
                take_long(&mut table)?;
                continue;
            }
            b't' | b'b' | b'B' => {
                table = table.get(1..)?;
                continue;
            }
            b'I' | b'i' => {
                table = table.get(4..)?;
                continue;
            }
            _ => break,
        };
        let text = String::from_utf8_lossy(text).into_owned();
        match name {
            b"product" => facts.product = text,
            b"version" => facts.version = text,
            _ => {}
        }
    }
    Some(Server(Arc::new(facts)))
}

/// Bytes with their length before them.
fn take_long<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (bytes, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
    }

    fn start() -> Vec<u8> {
        let mut table = Vec::new();
        for (name, kind, value) in [
            (&b"capabilities"[..], b'F', long(b"\x01at\x01")),
            (b"product", b'S', long(b"RabbitMQ")),
            (b"version", b'S', long(b"4.3.1-rc.2")),
        ] {
            table.push(u8::try_from(name.len()).expect("short"));
            table.extend_from_slice(name);
            table.push(kind);
            table.extend(value);
        }
        let payload = [&[0, 10, 0, 10, 0, 9][..], &long(&table), &long(b"PLAIN"), &long(b"en_US")].concat();
        [&[1, 0, 0][..], &long(&payload), &[0xce]].concat()
    }

    #[test]
    fn read_in_any_pieces() {
        for piece in [1, 7, 50, 4096] {
            let mut introduction = Introduction::default();
            let server = start().chunks(piece).find_map(|bytes| introduction.feed(bytes)).expect("a whole frame");
            assert_eq!((server.product(), server.version()), ("RabbitMQ", "4.3.1-rc.2"));
            assert!(server.is_at_least(4, 0) && server.is_at_least(4, 3) && !server.is_at_least(4, 4));
        }
    }

    #[test]
    fn what_is_cut_short_or_foreign_is_an_unknown_server() {
        for bytes in [&b"HTTP/1.1 400 Bad Request"[..], &[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 11], &vec![0xff; 70_000]] {
            let server = Introduction::default().feed(bytes);
            assert!(server.is_none_or(|server| !server.is_at_least(0, 0)), "{bytes:?}");
        }
    }
}
