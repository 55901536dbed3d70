//! Faults of publishers.

use std::time::Duration;

use swarrot_core::{Error, ErrorKind, Headers, Outgoing, Value};

use super::super::broken_publisher as broken;
use super::super::hooks::{Hooks, Results};
use super::{Mutant, mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "loses_the_last_of_a_batch",
        &["batch::publish_batch_all", "publish::kept_without_provider"],
        Hooks { publisher: Some(broken::loses_the_last_of_a_batch), ..Hooks::NONE },
    ),
    mutant(
        "does_not_wait_for_confirms",
        &["publish::broker_refusal_is_error", "publish::missing_target_errors"],
        Hooks { publisher: Some(broken::does_not_wait_for_confirms), ..Hooks::NONE },
    ),
    mutant(
        "trusts_confirms_alone",
        &["publish::missing_target_errors"],
        Hooks { results: Some(unroutable_is_fine), ..Hooks::NONE },
    ),
    mutant(
        "puts_returns_on_the_wrong_message",
        &["publish::missing_target_errors", "batch::publish_batch_partial"],
        Hooks { results: Some(shifted_by_one), ..Hooks::NONE },
    ),
    mutant(
        "takes_a_refusal_for_ok",
        &["publish::broker_refusal_is_error"],
        Hooks { results: Some(rejected_is_fine), ..Hooks::NONE },
    ),
    mutant(
        "sends_twice",
        &["publish::concurrent_100_tasks", "receive::one"],
        Hooks { publisher: Some(broken::sends_twice), ..Hooks::NONE },
    ),
    mutant(
        "fails_the_rest_of_a_batch",
        &["batch::publish_batch_partial"],
        Hooks { publisher: Some(broken::fails_the_rest_of_a_batch), ..Hooks::NONE },
    ),
    mutant(
        "spoiled_by_a_dropped_publish",
        &["publish::cancelled_publish"],
        Hooks { publisher: Some(broken::spoiled_by_a_dropped_publish), ..Hooks::NONE },
    ),
    mutant(
        "hangs_after_close",
        &["publish::after_close_errors"],
        Hooks { publisher: Some(broken::hangs_after_close), ..Hooks::NONE },
    ),
    mutant(
        "waits_for_a_blocked_broker_for_ever",
        &["faults::blocked_broker"],
        Hooks { publisher: Some(broken::waits_for_a_blocked_broker_for_ever), ..Hooks::NONE },
    ),
    mutant(
        "loses_what_is_on_its_way_at_close",
        &["close_and_shutdown::publisher_flushes_on_close"],
        Hooks { publisher: Some(broken::loses_what_is_on_its_way_at_close), ..Hooks::NONE },
    ),
    mutant(
        "has_no_size_limit",
        &["publish::over_max_size", "batch::publish_batch_partial"],
        Hooks { outgoing: Some(trusted), ..Hooks::NONE },
    ),
    mutant(
        "forgets_a_header",
        &["headers_and_body::typed", "headers_and_body::trace_context"],
        Hooks { outgoing: Some(one_header_less), ..Hooks::NONE },
    ),
    mutant(
        "flattens_typed_headers",
        &["headers_and_body::typed"],
        Hooks { outgoing: Some(headers_as_text), ..Hooks::NONE },
    ),
    mutant(
        "folds_the_case_of_header_names",
        &["headers_and_body::weird_keys_values"],
        Hooks { outgoing: Some(names_in_lower_case), ..Hooks::NONE },
    ),
    mutant(
        "forgets_the_correlation_id",
        &["headers_and_body::properties"],
        Hooks { outgoing: Some(|o| o.message.properties.correlation_id = None), ..Hooks::NONE },
    ),
    mutant(
        "gives_all_messages_one_id",
        &["receive::one"],
        Hooks { outgoing: Some(|o| o.message.properties.message_id = Some("the id".to_owned())), ..Hooks::NONE },
    ),
    mutant(
        "cuts_bodies_at_64_kib",
        &["publish::body_1mib", "headers_and_body::random_bytes"],
        Hooks { outgoing: Some(|o| o.message.body.truncate(65_536)), ..Hooks::NONE },
    ),
    mutant(
        "stops_at_a_zero_byte",
        &["headers_and_body::random_bytes"],
        Hooks { outgoing: Some(up_to_zero), ..Hooks::NONE },
    ),
    mutant(
        "delivers_delayed_messages_at_once",
        &["delay::not_before"],
        Hooks { outgoing: Some(|o| o.delay = None), ..Hooks::NONE },
    ),
    mutant(
        "delays_everything_by_a_second_more",
        &["delay::within_tolerance"],
        Hooks { outgoing: Some(|o| o.delay = o.delay.map(|delay| delay + Duration::from_secs(1))), ..Hooks::NONE },
    ),
    mutant(
        "shortens_long_delays",
        &["delay::over_max"],
        Hooks { outgoing: Some(|o| o.delay = o.delay.map(|delay| delay.min(Duration::from_secs(600)))), ..Hooks::NONE },
    ),
    mutant(
        "forgets_the_priority",
        &["priority::high_first"],
        Hooks { outgoing: Some(|o| o.message.properties.priority = None), ..Hooks::NONE },
    ),
    mutant(
        "forgets_the_time_to_live",
        &["time_to_live::expired_skipped", "time_to_live::nearly_expired_delivered"],
        Hooks { outgoing: Some(|o| o.message.properties.ttl = None), ..Hooks::NONE },
    ),
];

fn unroutable_is_fine(results: Results) -> Results {
    let fine = |error: &Error| error.kind() == ErrorKind::Unroutable;
    results.into_iter().map(|result| if result.as_ref().is_err_and(fine) { Ok(()) } else { result }).collect()
}

fn rejected_is_fine(results: Results) -> Results {
    let fine = |error: &Error| error.kind() == ErrorKind::Rejected;
    results.into_iter().map(|result| if result.as_ref().is_err_and(fine) { Ok(()) } else { result }).collect()
}

fn shifted_by_one(mut results: Results) -> Results {
    results.rotate_right(1);
    results
}

/// Past the checks of what a user may publish.
fn trusted(outgoing: &mut Outgoing) {
    let copy = Outgoing::copy(&outgoing.routing_key, outgoing.message.clone());
    *outgoing = match outgoing.delay {
        Some(delay) => copy.delay(delay),
        None => copy,
    };
}

fn one_header_less(outgoing: &mut Outgoing) {
    let last = outgoing.message.headers.iter().last().map(|(name, _)| name.to_owned());
    last.map(|name| outgoing.message.headers.remove(&name));
}

fn headers_as_text(outgoing: &mut Outgoing) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => format!("{other:?}"),
    };
    let flat: Headers = outgoing.message.headers.iter().map(|(name, value)| (name, text(value))).collect();
    outgoing.message.headers = flat;
}

fn names_in_lower_case(outgoing: &mut Outgoing) {
    let folded = outgoing.message.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    outgoing.message.headers = folded.collect();
}

fn up_to_zero(outgoing: &mut Outgoing) {
    let end = outgoing.message.body.iter().position(|byte| *byte == 0);
    outgoing.message.body.truncate(end.unwrap_or(usize::MAX));
}
