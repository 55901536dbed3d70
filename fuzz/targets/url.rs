//! Any text in place of a broker's URL: it is read or refused, and nothing of it shows the password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarrot_core::{BrokerUrl, Secret};

fuzz_target!(|text: &str| {
    let Ok(mut url) = text.parse::<BrokerUrl>() else { return };
    let shown = all_that_is_shown(&url);
    if url.password.is_some() {
        url.password = Some(Secret::new("another"));
        assert_eq!(all_that_is_shown(&url), shown, "whatever the password is");
    }
});

fn all_that_is_shown(url: &BrokerUrl) -> Vec<String> {
    let mut shown = vec![url.to_string(), format!("{url:?}")];
    for check in [swarrot_amqp::fuzzing::check_url, swarrot_redis::fuzzing::check_url] {
        if let Err(error) = check(url) {
            shown.extend([error.to_string(), format!("{error:?}")]);
        }
    }
    shown
}
