//! Any content header that a broker may pass on: the message that it becomes, sent again, is the same message.
#![no_main]

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::BasicProperties;
use libfuzzer_sys::fuzz_target;
use swarrot_amqp::fuzzing::{guarded, received, sent};

const HEADER: u8 = 2;
const QUEUE: &str = "mails.dead";

fuzz_target!(|properties: &[u8]| {
    // The class, a weight, the body's size; then flags and properties.
    let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], properties].concat();
    let size = u32::try_from(payload.len()).expect("short");
    let frame = [&[HEADER, 0, 1][..], &size.to_be_bytes(), &payload, &[0xce]].concat();
    let Some(first) = read(&guarded(&frame, frame.len())) else { return };
    let message = received(QUEUE, &first, b"body");
    let Ok(properties) = sent(&message) else { return };
    let again = received(QUEUE, &read(&write(properties)).expect("ours can be read"), b"body");
    // By its text, since a number that is none is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
});

fn read(frame: &[u8]) -> Option<BasicProperties> {
    match parse_frame(frame).ok()? {
        (_, AMQPFrame::Header(_, header)) => Some(header.properties),
        _ => None,
    }
}

fn write(properties: BasicProperties) -> Vec<u8> {
    let header = amq_protocol::frame::AMQPContentHeader { class_id: 60, body_size: 0, properties };
    let frame = AMQPFrame::Header(1, header);
    gen_frame(&frame)(WriteContext::from(Vec::new())).expect("it can be written").write
}
