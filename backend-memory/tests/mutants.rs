//! Each planted fault is noticed by the cases that are named with it.

mod harness;

use std::time::Duration;

use swarrot_conformance::mutant_tests;
use swarrot_memory::Profile;

use self::harness::Memory;

mutant_tests!(
    Memory::new("memory-amqp", Profile::Amqp),
    Memory::new("memory-streams", Profile::Streams { lease: Duration::from_secs(2) }),
);
