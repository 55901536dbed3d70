//! What a server of AMQP may send: any bytes, in any pieces.
#![no_main]

use amq_protocol::frame::parse_frame;
use libfuzzer_sys::fuzz_target;
use swarrot_amqp::fuzzing::guarded;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, stream) = input;
    let whole = guarded(stream, stream.len().max(1));
    assert_eq!(guarded(stream, usize::from(piece).max(1)), whole, "what comes in pieces is the same");
    assert_eq!(guarded(&whole, whole.len().max(1)), whole, "what is mended needs no mending");
    // As lapin goes on, until a frame is not whole or is none.
    let mut rest = &whole[..];
    while let Ok((left, _)) = parse_frame(rest) {
        rest = left;
    }
});
