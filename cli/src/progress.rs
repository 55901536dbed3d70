//! Progress on a terminal.

use std::time::Duration;

use crate::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on stderr that shows how far a command is; nothing where stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    silent: bool,
}

impl Progress {
    /// Of so many messages, where that is known.
    pub(crate) fn new(total: Option<u64>, what: &'static str) -> Self {
        let template = if total.is_some() {
            "{msg} {bar:30} {human_pos} of {human_len}, {per_sec}, {eta} left"
        } else {
            "{msg} {spinner} {human_pos}, {per_sec}"
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, silent: false }
    }

    /// Nothing at all, and no lines either.
    pub(crate) fn silent() -> Self {
        Self { bar: ProgressBar::hidden(), silent: true }
    }

    /// So many more.
    pub(crate) fn add(&self, messages: usize) {
        self.bar.inc(u64::try_from(messages).unwrap_or(0));
    }

    /// Writes a line to stderr without disturbing it.
    pub(crate) fn line(&self, line: &str) {
        if !self.silent {
            self.bar.suspend(|| note(format_args!("{line}")));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
