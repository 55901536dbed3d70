//! Any text in place of `swarrot.toml`: it is read, or refused with all that is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarrot::config::Config;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text) {
        assert!(!error.to_string().is_empty(), "it says what is wrong");
    }
});
