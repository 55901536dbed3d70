//! What a worker did.

use serde_json::json;
use swarrot::{Report, StopReason};

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::note;
use crate::session::Session;

/// Prints the report: as JSON on stdout, for people on stderr, since stdout is the commands'.
///
/// # Errors
/// If the output is closed.
pub(crate) fn print(report: &Report, session: &Session) -> Result<()> {
    if !session.output.is_json() {
        note(format_args!("{report}"));
        return Ok(());
    }
    let c = &report.counts;
    let document = json!({
        "stopped": name(&report.stopped),
        "reason": report.stopped.to_string(),
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "handled": c.handled,
        "acked": c.acked,
        "retried": c.retried,
        "requeued": c.requeued,
        "rejected": c.rejected,
        "released": c.released,
        "errors": c.errors,
        "cancelled": c.cancelled,
        "lost": c.lost,
        "settle_failures": c.settle_failures,
        "broker_errors": c.broker_errors,
    });
    session.output.print(&document, String::new)
}

/// The exit code that tells why it stopped.
pub(crate) fn exit(report: &Report, session: &Session) -> Exit {
    match report.stopped {
        StopReason::Signal(_) => Exit::Signal,
        _ if session.stop.is_asked() => Exit::Signal,
        StopReason::MaxMessages | StopReason::MaxTime | StopReason::MaxMemory(_) => Exit::Limit,
        StopReason::Empty | StopReason::Handle => Exit::Done,
        _ => Exit::Failure,
    }
}

fn name(stopped: &StopReason) -> &'static str {
    match stopped {
        StopReason::Signal(_) => "signal",
        StopReason::Handle => "handle",
        StopReason::MaxMessages => "max_messages",
        StopReason::MaxTime => "max_time",
        StopReason::MaxMemory(_) => "max_memory",
        StopReason::Empty => "empty",
        StopReason::Closed => "closed",
        StopReason::Broker(_) => "broker",
        StopReason::Handler(_) => "handler",
        _ => "other",
    }
}
