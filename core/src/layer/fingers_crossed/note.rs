//! The event that says what was cut.

use tracing::field::Value;
use tracing::span::Id;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata};
use tracing_core::{Callsite, Kind, metadata};

/// The event's metadata. Made by hand, not by `debug!`: it goes to one layer, not to the whole subscriber, whose callback it
/// is sent from.
pub(super) static METADATA: Metadata<'static> = metadata! {
    name: "cut",
    target: "swarrot::fingers_crossed",
    level: Level::DEBUG,
    fields: &["message", "events", "bytes"],
    callsite: &CALLSITE,
    kind: Kind::EVENT,
};

static CALLSITE: Note = Note;

struct Note;

impl Callsite for Note {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &METADATA
    }
}

/// Hands on an event, within this span, that says how much was cut.
pub(super) fn cut(span: &Id, events: usize, bytes: usize, hand_on: impl FnOnce(&Event<'_>)) {
    let text = format_args!("earlier events of this delivery were cut");
    let values: [&dyn Value; 3] = [&text, &events, &bytes];
    let mut fields = METADATA.fields().iter();
    let mut next = || fields.next().expect("as many fields as values");
    let (message, events, bytes) = (next(), next(), next());
    let values = [(&message, Some(values[0])), (&events, Some(values[1])), (&bytes, Some(values[2]))];
    hand_on(&Event::new_child_of(span.clone(), &METADATA, &METADATA.fields().value_set(&values)));
}
