//! Where the formatter writes to: the real writer, or the memory of this thread while an event is kept.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The largest buffer that is used again.
const MAX_SPARE: usize = 64 << 10;

thread_local! {
    /// What is written while an event is kept.
    static KEEPING: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What the formatter of a [`FingersCrossed`](super::FingersCrossed) writes to.
#[derive(Debug)]
pub struct CrossedWriter<W>(Arc<W>);

impl<W> CrossedWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(Arc::new(writer))
    }

    /// The real writer.
    pub(super) fn real(&self) -> &W {
        &self.0
    }
}

impl<W> Clone for CrossedWriter<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for CrossedWriter<W> {
    type Writer = CrossedOutput<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        CrossedOutput((!is_keeping()).then(|| self.0.make_writer()))
    }

    fn make_writer_for(&'w self, meta: &Metadata<'_>) -> Self::Writer {
        CrossedOutput((!is_keeping()).then(|| self.0.make_writer_for(meta)))
    }
}

/// A writer for one event: the real one, or memory.
#[derive(Debug)]
pub struct CrossedOutput<W>(Option<W>);

impl<W: io::Write> io::Write for CrossedOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(real) = &mut self.0 {
            return real.write(bytes);
        }
        KEEPING.with_borrow_mut(|keeping| keeping.iter_mut().for_each(|text| text.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), io::Write::flush)
    }
}

fn is_keeping() -> bool {
    KEEPING.with_borrow(Option::is_some)
}

/// Calls this with what `write` writes on this thread meanwhile.
pub(super) fn keep<T>(write: impl FnOnce(), then: impl FnOnce(&[u8]) -> T) -> T {
    let text = during(Some(SPARE.take()), write);
    let mut text = text.unwrap_or_default();
    let result = then(&text);
    text.clear();
    if text.capacity() <= MAX_SPARE {
        SPARE.set(text);
    }
    result
}

/// Lets `write` write to the real writer, even where it is called while an event is kept: by a field's `Debug` that logs.
pub(super) fn let_through(write: impl FnOnce()) {
    during(None, write);
}

fn during(keeping: Option<Vec<u8>>, write: impl FnOnce()) -> Option<Vec<u8>> {
    /// Puts back what was before, also if a formatter panics.
    struct Restore(Option<Vec<u8>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            KEEPING.set(self.0.take());
        }
    }
    let restore = Restore(KEEPING.replace(keeping));
    write();
    let written = KEEPING.take();
    drop(restore);
    written
}
