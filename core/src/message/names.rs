//! The names of the headers that swarrot reads and writes.

/// How often the message was retried, as an integer. PHP Swarrot's `RetryProcessor` counts in the same header, so that
/// both can work on one queue. Text and numbers of any width are read as well.
pub const RETRY_ATTEMPTS: &str = "swarrot_retry_attempts";
/// When the message failed for the first time, as a timestamp.
pub const FIRST_FAILURE: &str = "swarrot_first_failure";
/// When the message failed for the last time, as a timestamp.
pub const LAST_FAILURE: &str = "swarrot_last_failure";
/// Why the message was retried or parked the last time: the error and its sources.
pub const REASON: &str = "swarrot_reason";
/// The last failures, oldest first: a line of text for each, with the attempt, the time in seconds since the Unix epoch
/// and the error, separated by tabs. Text, because other clients lose lists: PHP's drop or refuse them when they publish a
/// copy.
pub const HISTORY: &str = "swarrot_history";
/// The queue from which the message was parked.
pub const SOURCE_QUEUE: &str = "swarrot_source_queue";
/// How many attempts were made before the message was parked, as an integer.
pub const ATTEMPTS: &str = "swarrot_attempts";
/// When the message was last taken out of a dead-letter queue to be tried anew, as a timestamp.
pub const REDRIVEN: &str = "swarrot_redriven";
/// The exchange to which the message was published first, kept when it is retried or parked.
pub const EXCHANGE: &str = "swarrot_exchange";
/// The routing key with which the message was published first, kept when it is retried or parked.
pub const ROUTING_KEY: &str = "swarrot_routing_key";
/// How many headers of the message a copy lacks, since there was no room for all of them, as an integer.
pub const LEFT_OUT: &str = "swarrot_left_out";
/// True in a reply that says that the request failed; its body is the error in words.
pub const REPLY_ERROR: &str = "swarrot_error";

/// The trace that a message belongs to, and the span that published it: [W3C Trace Context](https://www.w3.org/TR/trace-context/).
pub const TRACEPARENT: &str = "traceparent";
/// What tracing systems add to [`TRACEPARENT`].
pub const TRACESTATE: &str = "tracestate";

/// What swarrot's own headers begin with.
pub const PREFIX: &str = "swarrot_";
/// What brokers' own headers begin with.
pub const BROKER_PREFIX: &str = "x-";

/// Whether swarrot itself writes this header.
pub(crate) fn is_own(name: &str) -> bool {
    const OWN: [&str; 11] = [
        RETRY_ATTEMPTS,
        FIRST_FAILURE,
        LAST_FAILURE,
        REASON,
        HISTORY,
        SOURCE_QUEUE,
        ATTEMPTS,
        REDRIVEN,
        EXCHANGE,
        ROUTING_KEY,
        LEFT_OUT,
    ];
    name.starts_with(PREFIX) && OWN.contains(&name)
}

/// What a queue's dead-letter queue is called: the queue's name with `.dead` behind it.
pub fn dead_letter_queue(queue: &str) -> String {
    format!("{queue}.dead")
}
