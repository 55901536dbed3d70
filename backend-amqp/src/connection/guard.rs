//! Follows what the server sends, frame by frame, and mends what lapin could not read before lapin sees it.

use super::mend;
use crate::config::FRAME_MAX;

/// Type, channel and size; the payload follows, and one byte that ends the frame.
const FRAME_HEADER: usize = 7;
/// The byte that ends a frame.
const FRAME_END: usize = 1;
/// Frames beyond this are no business of AMQP's; whatever they are, lapin refuses them.
const MAX_FRAME: usize = 16 << 20;
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;

/// Takes the bytes from the server and gives them on, mended.
///
/// Bodies go through as they come. A frame that may need mending is held until it is whole: at most what client and
/// server have agreed on as the largest frame.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    bytes: Vec<u8>,
    /// How many of them were given on.
    given: usize,
    /// How many of them may be given on.
    ready: usize,
    /// How much of the frame at `ready` may go through unseen.
    open: usize,
    /// The largest frame that the server has proposed.
    proposed: Option<usize>,
}

impl Guard {
    /// What is ready to be given on.
    pub(crate) fn ready(&self) -> &[u8] {
        &self.bytes[self.given..self.ready]
    }

    /// Notes that so much of what was ready was taken.
    pub(crate) fn take(&mut self, length: usize) {
        self.given += length;
        if self.given == self.bytes.len() {
            self.bytes.clear();
            (self.given, self.ready) = (0, 0);
        }
    }

    /// The next bytes from the server.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.given > 0 {
            self.bytes.drain(..self.given);
            self.ready -= self.given;
            self.given = 0;
        }
        self.bytes.extend_from_slice(bytes);
        while self.step() {}
    }

    /// Makes more ready; false if that needs more bytes.
    fn step(&mut self) -> bool {
        let left = self.bytes.len() - self.ready;
        if self.open > 0 {
            let through = self.open.min(left);
            self.open -= through;
            self.ready += through;
            return through > 0;
        }
        let Some(header) = self.bytes[self.ready..].first_chunk::<FRAME_HEADER>() else { return false };
        let [kind, _, _, size @ ..] = *header;
        let size = u32::from_be_bytes(size) as usize;
        if !matches!(kind, METHOD | CONTENT_HEADER) || size > MAX_FRAME {
            self.open = FRAME_HEADER.saturating_add(size).saturating_add(1);
            return true;
        }
        let payload = self.ready + FRAME_HEADER..self.ready + FRAME_HEADER + size;
        if self.bytes.len() <= payload.end {
            return false;
        }
        let frame = &self.bytes[payload.clone()];
        self.proposed = self.proposed.or_else(|| proposal(frame).filter(|_| kind == METHOD));
        let frame_max = self.proposed.unwrap_or(usize::MAX).min(FRAME_MAX as usize);
        let room = frame_max.saturating_sub(FRAME_HEADER + FRAME_END);
        let mended = if kind == METHOD { mend::method(frame) } else { mend::content_header(frame, room) };
        let mut length = size;
        if let Some(mended) = mended {
            length = mended.len();
            let size = u32::try_from(length).unwrap_or(u32::MAX);
            self.bytes[payload.start - 4..payload.start].copy_from_slice(&size.to_be_bytes());
            self.bytes.splice(payload, mended);
        }
        self.ready += FRAME_HEADER + length + 1;
        true
    }
}

/// The largest frame that the server proposes, in `connection.tune`; `None` for any, and for any other method.
fn proposal(method: &[u8]) -> Option<usize> {
    const TUNE: &[u8] = &[0, 10, 0, 30];
    let (_channels, rest) = method.strip_prefix(TUNE)?.split_first_chunk::<2>()?;
    let size = u32::from_be_bytes(*rest.first_chunk()?) as usize;
    Some(size).filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).expect("short");
        [&[kind, 0, 1][..], &size.to_be_bytes(), payload, &[0xce]].concat()
    }

    /// A content header of no body, whose only property is an id.
    fn header(id: &[u8]) -> Vec<u8> {
        let length = u8::try_from(id.len()).expect("short");
        [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, length][..], id].concat()
    }

    fn pass(stream: &[u8], piece: usize, take: usize) -> Vec<u8> {
        let (mut guard, mut out) = (Guard::default(), Vec::new());
        for bytes in stream.chunks(piece) {
            guard.feed(bytes);
            while !guard.ready().is_empty() {
                let some = guard.ready().len().min(take);
                out.extend_from_slice(&guard.ready()[..some]);
                guard.take(some);
                // The reader may be slower than the server.
                if some.is_multiple_of(3) {
                    break;
                }
            }
        }
        while !guard.ready().is_empty() {
            let some = guard.ready().len().min(take);
            out.extend_from_slice(&guard.ready()[..some]);
            guard.take(some);
        }
        out
    }

    #[test]
    fn mends_and_lets_through_in_any_pieces() {
        let stream = [frame(1, &[0, 10, 0, 10]), frame(2, &header(b"caf\xe9")), frame(3, b"\xff body"), frame(8, b"")];
        let expected =
            [frame(1, &[0, 10, 0, 10]), frame(2, &header("café".as_bytes())), frame(3, b"\xff body"), frame(8, b"")];
        for piece in 1..40 {
            for take in [1, 3, 4, 1000] {
                assert_eq!(pass(&stream.concat(), piece, take), expected.concat(), "{piece} {take}");
            }
        }
    }

    #[test]
    fn no_header_is_larger_than_was_agreed() {
        let tune = |size: u32| frame(1, &[&[0, 10, 0, 30, 7, 255][..], &size.to_be_bytes(), &[0, 10]].concat());
        let table = [&[5][..], b"large", b"S", &5000_u32.to_be_bytes(), &[b'x'; 5000]].concat();
        let length = u32::try_from(table.len()).expect("short").to_be_bytes();
        let header = frame(2, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0][..], &length, &table].concat());
        for (size, fits) in [(4096, false), (5000, false), (131_072, true), (0, true)] {
            let passed = pass(&[tune(size), header.clone()].concat(), 1000, 1000);
            let passed = passed.strip_prefix(&tune(size)[..]).expect("as it was");
            assert_eq!(passed == header, fits, "{size}");
            assert!(fits || passed.len() <= size as usize, "{size}: {}", passed.len());
        }
    }

    #[test]
    fn a_body_goes_through_before_its_frame_is_whole() {
        let mut guard = Guard::default();
        guard.feed(&frame(3, &[7; 1000])[..500]);
        assert_eq!(guard.ready().len(), 500);
    }

    proptest! {
        #[test]
        fn any_bytes_pass(stream in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
            // What is no frame of AMQP's is held or let through, and nothing panics.
            prop_assert!(pass(&stream, piece, 1000).len() <= stream.len() * 2);
        }
    }
}
