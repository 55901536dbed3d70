//! Debug logs that come out only if a delivery fails.

mod kept;
mod layer;
mod note;
mod writer;

use std::num::NonZeroUsize;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use self::kept::Limits;
pub use self::layer::FingersCrossedLayer;
pub use self::writer::{CrossedOutput, CrossedWriter};

/// Keeps the debug logs of a delivery back, and lets them out only if it fails: a [`tracing_subscriber::Layer`] around a
/// formatter.
///
/// What is logged within the span of [`Trace`](super::Trace), in nested spans and on other tasks that carry it too
/// (`.in_current_span()`), is formatted at once and held in memory. It is written when the delivery ends in an error, a retry,
/// a requeue, a rejection, a panic or a cancel, and forgotten when it ends well. So it looks as it would have looked without
/// this layer, with the times when it happened; only its place is later. What a task logs after the end of its delivery
/// shares that one's fate.
///
/// Events at the level [`pass`](Self::pass) or above are written at once. Below it, what belongs to no delivery is dropped.
///
/// # Limits
/// Each delivery keeps its last 64 KiB, all together 16 MiB, each event counted with some 24 bytes beside its text; the buffers
/// behind may be up to twice as large. What does not fit is cut, the oldest of the same delivery first, and an event at debug
/// level says how much. A delivery that never ends holds its share, and no more; if many do, others keep less.
///
/// # Filters
/// It has to see what it keeps, and the span of [`Trace`](super::Trace), whose target is `swarrot::process`: put a filter on
/// it that lets both through, such as `swarrot=info,my_app=debug`, and none within. A filter for the whole subscriber would
/// have to let them through as well.
///
/// # Costs
/// An event that is kept costs its formatting, even if it is never written. One small allocation for each delivery with its
/// span, and the buffer.
///
/// A worker that is watched in every way:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # #[cfg(feature = "metrics")]
/// use swarrot_core::layer::Metrics;
/// use swarrot_core::layer::{FingersCrossed, Retry, Trace};
/// use swarrot_core::{BoxError, MessageProvider, Worker};
/// use tracing::level_filters::LevelFilter;
/// use tracing_subscriber::layer::SubscriberExt as _;
/// use tracing_subscriber::{Layer as _, fmt, registry};
///
/// async fn send_mail(address: String) -> Result<(), BoxError> {
///     tracing::debug!(address, "looking up the server"); // is written only if this fails
///     Ok(())
/// }
///
/// async fn work(provider: Arc<dyn MessageProvider>) -> Result<(), BoxError> {
///     let crossed = FingersCrossed::new(std::io::stderr).format(|writer| fmt::layer().with_writer(writer));
///     let subscriber = registry().with(crossed.with_filter(LevelFilter::DEBUG));
///     tracing::subscriber::set_global_default(subscriber)?;
///
///     let worker = Worker::new(provider).layer(Trace::new());
/// #   #[cfg(feature = "metrics")]
///     let worker = worker.layer(Metrics::new());
///     let retry = Retry::exponential(Duration::from_secs(30), Duration::from_secs(1800)).attempts(5).jitter();
///     println!("{}", worker.layer(retry).run(send_mail).await?);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given a formatter"]
pub struct FingersCrossed<W> {
    writer: W,
    pass: Level,
    limits: Limits,
}

impl<W> FingersCrossed<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    /// Writes there, such as `std::io::stderr`.
    pub fn new(writer: W) -> Self {
        Self { writer, pass: Level::INFO, limits: Limits { delivery: 64 << 10, total: 16 << 20 } }
    }

    /// Sets the level from which events are written at once: `INFO`, unless told otherwise.
    pub fn pass(mut self, level: Level) -> Self {
        self.pass = level;
        self
    }

    /// Sets how many bytes are kept of one delivery: 64 KiB, unless told otherwise.
    pub fn max_bytes(mut self, bytes: NonZeroUsize) -> Self {
        self.limits.delivery = bytes.get();
        self
    }

    /// Sets how many bytes are kept of all deliveries together: 16 MiB, unless told otherwise.
    pub fn max_total_bytes(mut self, bytes: NonZeroUsize) -> Self {
        self.limits.total = bytes.get();
        self
    }

    /// The layer, around the formatter that this makes, which has to write to the writer that it is given.
    pub fn format<L>(self, make: impl FnOnce(CrossedWriter<W>) -> L) -> FingersCrossedLayer<L, W> {
        let writer = CrossedWriter::new(self.writer);
        FingersCrossedLayer::new(make(writer.clone()), writer, self.pass, self.limits)
    }
}
