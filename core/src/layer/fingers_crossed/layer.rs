//! The layer: finds the delivery that an event belongs to, and learns of its end.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::kept::{Events, Fate, Kept, Limits, Total};
use super::note;
use super::writer::{CrossedWriter, keep, let_through};

/// A formatter within a [`FingersCrossed`](super::FingersCrossed).
pub struct FingersCrossedLayer<L, W> {
    inner: L,
    writer: CrossedWriter<W>,
    pass: Level,
    total: Arc<Total>,
    /// Tells it from other such layers of the same subscriber.
    number: usize,
}

impl<L, W> FingersCrossedLayer<L, W> {
    pub(super) fn new(inner: L, writer: CrossedWriter<W>, pass: Level, limits: Limits) -> Self {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { inner, writer, pass, total: Total::new(limits), number }
    }
}

impl<L, W> fmt::Debug for FingersCrossedLayer<L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingersCrossedLayer")
            .field("pass", &self.pass)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// What a delivery's span has: what each such layer of the subscriber keeps, by its number.
struct Deliveries(Vec<(usize, Arc<Kept>)>);

impl<L, W> FingersCrossedLayer<L, W>
where
    W: for<'w> MakeWriter<'w>,
{
    fn kept<'s, S: LookupSpan<'s>>(&self, span: &SpanRef<'s, S>) -> Option<Arc<Kept>> {
        let extensions = span.extensions();
        let (_, kept) = extensions.get::<Deliveries>()?.0.iter().find(|(number, _)| *number == self.number)?;
        Some(Arc::clone(kept))
    }

    fn end<S>(&self, span: &Id, kept: &Kept, failed: bool, ctx: Context<'_, S>)
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
        L: Layer<S>,
    {
        let Some(events) = kept.end(failed) else { return };
        if events.cut > 0 {
            let hand_on = |event: &Event<'_>| let_through(|| self.inner.on_event(event, ctx));
            note::cut(span, events.cut, events.cut_bytes, hand_on);
        }
        self.write(events);
    }

    fn write(&self, events: Events) {
        events.for_each(|meta, text| self.write_one(meta, text));
    }

    /// A log that cannot be written has nowhere to say so.
    fn write_one(&self, meta: &Metadata<'_>, text: &[u8]) {
        let _ = self.writer.real().make_writer_for(meta).write_all(text);
    }
}

impl<S, L, W> Layer<S> for FingersCrossedLayer<L, W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    L: Layer<S>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let meta = event.metadata();
        if *meta.level() <= self.pass {
            return let_through(|| self.inner.on_event(event, ctx));
        }
        let scope = ctx.event_scope(event);
        let Some(kept) = scope.and_then(|mut scope| scope.find_map(|span| self.kept(&span))) else { return };
        match kept.fate() {
            Fate::Forgotten => {}
            Fate::Written => let_through(|| self.inner.on_event(event, ctx)),
            Fate::Kept => {
                // Formatted before the delivery is locked: a formatter may take its time.
                keep(
                    || self.inner.on_event(event, ctx),
                    |text| {
                        if kept.keep(meta, text) == Fate::Written {
                            self.write_one(meta, text);
                        }
                    },
                );
            }
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let is_delivery = is_delivery(attributes.metadata());
        if is_delivery && let Some(span) = ctx.span(id) {
            let entry = (self.number, Arc::new(Kept::new(Arc::clone(&self.total))));
            let mut extensions = span.extensions_mut();
            match extensions.get_mut::<Deliveries>() {
                Some(deliveries) => deliveries.0.push(entry),
                None => extensions.insert(Deliveries(vec![entry])),
            }
        }
        self.inner.on_new_span(attributes, id, ctx);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        self.inner.on_record(id, values, ctx.clone());
        let mut end = End::default();
        let Some(span) = ctx.span(id).filter(|span| is_delivery(span.metadata())) else { return };
        values.record(&mut end);
        let Some(failed) = end.failed else { return };
        let kept = self.kept(&span);
        drop(span);
        if let Some(kept) = kept {
            self.end(id, &kept, failed, ctx);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        // One whose end nobody noted has not ended well.
        if let Some(kept) = ctx.span(&id).and_then(|span| self.kept(&span)) {
            self.end(&id, &kept, true, ctx.clone());
        }
        self.inner.on_close(id, ctx);
    }

    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.inner.on_register_dispatch(dispatch);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.inner.on_layer(subscriber);
    }

    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        self.inner.register_callsite(meta)
    }

    fn enabled(&self, meta: &Metadata<'_>, ctx: Context<'_, S>) -> bool {
        self.inner.enabled(meta, ctx)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.inner.max_level_hint()
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, ctx: Context<'_, S>) {
        self.inner.on_follows_from(span, follows, ctx);
    }

    fn event_enabled(&self, event: &Event<'_>, ctx: Context<'_, S>) -> bool {
        self.inner.event_enabled(event, ctx)
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        self.inner.on_enter(id, ctx);
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        self.inner.on_exit(id, ctx);
    }

    fn on_id_change(&self, old: &Id, new: &Id, ctx: Context<'_, S>) {
        self.inner.on_id_change(old, new, ctx);
    }
}

/// Whether a span is one that [`Trace`](crate::layer::Trace) makes for a delivery.
fn is_delivery(meta: &Metadata<'_>) -> bool {
    meta.name() == "process" && meta.target() == "swarrot::process"
}

/// What `Trace` notes at the end of a delivery.
#[derive(Default)]
struct End {
    failed: Option<bool>,
}

impl Visit for End {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "swarrot.outcome" {
            self.failed = Some(!matches!(value, "ack" | "release"));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
