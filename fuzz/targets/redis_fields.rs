//! Whatever stands in a stream's entry is a message, and that message, sent again, is the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarrot_redis::fuzzing::{received_fields, sent};

/// The names that mean something come up often.
#[derive(Debug, arbitrary::Arbitrary)]
enum Name {
    Body,
    Count,
    Other(Vec<u8>),
}

fuzz_target!(|input: (Vec<(Name, Vec<u8>)>, &[u8])| {
    let (fields, ours) = input;
    let others = fields.into_iter().map(|(name, value)| {
        let name = match name {
            Name::Body => b"body".to_vec(),
            Name::Count => b"swarrot_count".to_vec(),
            Name::Other(name) => name,
        };
        (Bytes::from(name), Bytes::from(value))
    });
    let ours = (Bytes::from_static(b"swarrot"), Bytes::copy_from_slice(ours));
    let first = received_fields("mails", others.chain([ours]).collect());
    let route = (first.exchange(), first.routing_key());
    let again = received_fields("mails", sent(first.message(), route));
    assert_eq!((again.exchange(), again.routing_key()), route);
    // By its text, since a number that is none is not equal to itself.
    assert_eq!(format!("{:?}", again.message()), format!("{:?}", first.message()));
});
