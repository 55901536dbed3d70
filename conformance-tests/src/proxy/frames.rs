//! Where the frames of an AMQP stream end, and the commands and replies of a Redis stream.

use super::resp::Replies;

/// Type, channel, size; the payload follows, and one byte that ends the frame.
const HEADER: usize = 7;
const HEARTBEAT: u8 = 8;
const PROTOCOL_HEADER: &[u8] = b"AMQP";
const PROTOCOL_HEADER_LEN: usize = 8;

/// Follows one direction of one connection, chunk by chunk; its first byte tells the protocol.
#[derive(Debug, Default)]
pub(super) enum Frames {
    #[default]
    Unknown,
    Amqp(AmqpFrames),
    Redis(Replies),
}

impl Frames {
    /// How many bytes into the chunk each counted frame, command or reply ends; the end of a chunk is in order with its
    /// start.
    pub(super) fn ends(&mut self, chunk: &[u8]) -> Vec<usize> {
        if let (Self::Unknown, Some(first)) = (&*self, chunk.first()) {
            *self = if Replies::begin_with(*first) {
                Self::Redis(Replies::default())
            } else {
                Self::Amqp(AmqpFrames::default())
            };
        }
        match self {
            Self::Unknown => Vec::new(),
            Self::Amqp(frames) => frames.ends(chunk),
            Self::Redis(replies) => replies.ends(chunk),
        }
    }
}

/// The protocol header at the start is no frame. Heartbeats are left out, since they come when they like.
#[derive(Debug, Default)]
pub(super) struct AmqpFrames {
    header: Vec<u8>,
    /// Bytes until the frame, or the protocol header, ends; 0 while a header is read.
    left: usize,
    counted: bool,
}

impl AmqpFrames {
    fn ends(&mut self, chunk: &[u8]) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < chunk.len() {
            if self.left == 0 {
                let take = (HEADER - self.header.len()).min(chunk.len() - at);
                self.header.extend_from_slice(&chunk[at..at + take]);
                at += take;
                if self.header.len() < HEADER {
                    break;
                }
                self.begin();
            }
            let take = self.left.min(chunk.len() - at);
            self.left -= take;
            at += take;
            if self.left == 0 && self.counted {
                ends.push(at);
            }
        }
        ends
    }

    /// The header is complete: what follows it, and whether that counts.
    fn begin(&mut self) {
        if self.header.starts_with(PROTOCOL_HEADER) {
            self.left = PROTOCOL_HEADER_LEN - HEADER;
            self.counted = false;
        } else {
            let size = self.header[3..].iter().fold(0, |size, byte| (size << 8) | usize::from(*byte));
            self.left = size + 1;
            self.counted = self.header[0] != HEARTBEAT;
        }
        self.header.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing::{HEARTBEAT_FRAME, PROTOCOL, frame};

    #[test]
    fn finds_each_frame_however_the_stream_is_cut() {
        let stream = [PROTOCOL.to_vec(), frame(b""), HEARTBEAT_FRAME.to_vec(), frame(b"payload")].concat();
        let expected = [8 + 8, stream.len()];
        for size in 1..=stream.len() {
            let (mut frames, mut ends) = (Frames::default(), Vec::new());
            for (index, chunk) in stream.chunks(size).enumerate() {
                ends.extend(frames.ends(chunk).into_iter().map(|end| index * size + end));
            }
            assert_eq!(ends, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_server_sends_no_protocol_header() {
        assert_eq!(Frames::default().ends(&frame(b"start")), [13]);
    }
}
