//! Any text in place of a broker's URL: it is read or refused, and nothing of it shows the password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarrot_core::{BrokerUrl, Secret};

fuzz_target!(|text: &str| {
    let Ok(url) = text.parse::<BrokerUrl>() else { return };
    let mut shown = vec![url.to_string(), format!("{url:?}")];
    for check in [swarrot_amqp::fuzzing::check_url, swarrot_redis::fuzzing::check_url] {
        if let Err(error) = check(&url) {
            shown.extend([error.to_string(), format!("{error:?}")]);
        }
    }
    let Some(password) = url.password.as_ref().map(Secret::expose) else { return };
    let others = [&url.scheme].into_iter().chain(&url.username).chain(&url.path);
    let others = others.chain(url.hosts.iter().map(|(name, _)| name));
    let others = others.chain(url.query.iter().flat_map(|(name, value)| [name, value]));
    // A short one may be part of anything.
    if password.len() >= 8 && !others.into_iter().any(|other| other.contains(password)) {
        assert!(shown.iter().all(|shown| !shown.contains(password)), "{shown:?}");
    }
});
