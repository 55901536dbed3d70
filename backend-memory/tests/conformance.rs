//! The conformance suite, on both profiles, and on a backend that claims next to nothing.

mod harness;

use std::time::Duration;

use swarrot_conformance::{conformance_tests, mutants::limited};
use swarrot_memory::Profile;

use self::harness::Memory;

conformance_tests!(
    Memory::new("memory-amqp", Profile::Amqp),
    Memory::new("memory-streams", Profile::Streams { lease: Duration::from_secs(2) }),
    limited(Memory::new("memory", Profile::Amqp)),
);
