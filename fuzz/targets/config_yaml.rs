//! Any text in place of `swarrot.yaml`: it is read, or refused with all that is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarrot::config::Loader;

fuzz_target!(|text: &str| {
    if let Err(error) = Loader::new().parse_yaml(text) {
        assert!(!error.to_string().is_empty(), "it says what is wrong");
    }
});
