//! Stopping in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Whether signals have asked to stop. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// How often it was asked for, and by which signal the last time.
    asked: watch::Receiver<(u32, &'static str)>,
    /// Somebody else sees to further signals.
    only_notices: Arc<AtomicBool>,
}

impl Stop {
    /// Listens for SIGINT and SIGTERM: the first asks to stop, the second ends the process at once.
    ///
    /// # Errors
    /// If the system does not let it listen.
    pub(crate) fn on_signals() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| Failure::new(format!("cannot listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let only_notices = Arc::new(AtomicBool::new(false));
        let (sender, asked) = watch::channel((0, ""));
        let patient = Arc::clone(&only_notices);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                if sender.borrow().0 > 0 && !patient.load(Ordering::Relaxed) {
                    std::process::exit(Exit::Signal.code().into());
                }
                sender.send_modify(|asked| *asked = (asked.0 + 1, name));
            }
        });
        Ok(Self { asked, only_notices })
    }

    /// Leaves what a second signal does to somebody else.
    pub(crate) fn only_notice(&self) {
        self.only_notices.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.borrow().0 > 0
    }

    /// The signal that asked for it.
    pub(crate) fn signal(&self) -> Option<&'static str> {
        let (times, name) = *self.asked.borrow();
        (times > 0).then_some(name)
    }

    /// Waits until it is asked for. Cancel safe.
    pub(crate) async fn asked(&self) {
        self.asked_times(1).await;
    }

    /// Waits until it was asked for so often. Cancel safe.
    pub(crate) async fn asked_times(&self, times: u32) {
        if self.asked.clone().wait_for(|asked| asked.0 >= times).await.is_err() {
            // The listener ends with the runtime.
            std::future::pending::<()>().await;
        }
    }
}
