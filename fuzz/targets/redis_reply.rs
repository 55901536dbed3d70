//! What a server of Redis may answer to a script that receives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarrot_redis::fuzzing::received;

fuzz_target!(|reply: &[u8]| {
    if let Ok(reply) = redis::parse_redis_value(reply) {
        drop(received("mails", reply));
    }
});
