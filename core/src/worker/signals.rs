//! The signals that stop a worker.

use std::io;

/// Which signals stop a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Signals {
    /// SIGTERM, SIGINT and SIGQUIT; Ctrl-C where there are no signals.
    #[default]
    All,
    /// None: only the handle stops it.
    Off,
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) name: &'static str,
    pub(super) number: i32,
}

/// Waits for signals, one after another.
pub(super) struct Listener {
    #[cfg(unix)]
    streams: Vec<(tokio::signal::unix::Signal, Signal)>,
    #[cfg(not(unix))]
    on: bool,
}

impl Listener {
    #[cfg(unix)]
    pub(super) fn new(signals: Signals) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        if signals == Signals::Off {
            return Ok(Self { streams: Vec::new() });
        }
        let kinds = [
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::interrupt(), "SIGINT"),
            (SignalKind::quit(), "SIGQUIT"),
        ];
        let listen = |(kind, name): (SignalKind, _)| Ok((signal(kind)?, Signal { name, number: kind.as_raw_value() }));
        Ok(Self { streams: kinds.into_iter().map(listen).collect::<io::Result<_>>()? })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) fn new(signals: Signals) -> io::Result<Self> {
        Ok(Self { on: signals == Signals::All })
    }

    /// The next signal; never ready where none is listened for. Cancel safe.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (stream, signal) in &mut self.streams {
                if stream.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// The next signal; never ready where none is listened for. Cancel safe.
    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> Signal {
        if !self.on || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal { name: "Ctrl-C", number: 2 }
    }
}
