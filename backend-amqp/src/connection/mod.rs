//! One role's connection: made when it is needed, shared by all that play the role, replaced when it is broken.

mod backoff;
mod transport;

mod guard;
mod listener;
mod mend;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use lapin::options::BasicQosOptions;
use lapin::{Connection, ConnectionProperties};
use swarrot_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};

pub(crate) use self::backoff::{Backoff, LIVED};
#[cfg(fuzzing)]
pub(crate) use self::guard::Guard;
use self::listener::Listener;
pub(crate) use self::server::Server;
use self::transport::{Kit, Line};
use crate::config::{Config, FRAME_MAX};
use crate::error::{from_lapin, within};

/// How long the server may take to answer a call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each step of a clean end may take.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const REPLY_SUCCESS: u16 = 200;

/// What a connection is for. A server in need of memory or disk space stops reading from connections that publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Receive,
    Publish,
}

/// One role's connection.
#[derive(Debug)]
pub(crate) struct Link {
    config: Arc<Config>,
    role: Role,
    /// Held while connecting, so that one try at a time is made.
    live: Mutex<Option<Live>>,
    /// Connections made so far: the number of the current one.
    count: AtomicU64,
    /// The largest frame that was agreed on the last time.
    frame_max: AtomicUsize,
    /// Whether the server has stopped taking messages on the present connection. Written by its [`Listener`].
    blocked: watch::Sender<bool>,
    closed: AtomicBool,
}

/// The connection on which channels are opened.
struct Live {
    held: Arc<Held>,
    _listener: Listener,
}

/// A connection that was established. It lives as long as it is the link's, or a channel of ours is on it.
struct Held {
    number: u64,
    connection: Connection,
    line: Line,
}

/// A channel, and what its connection is like. Closed when it is dropped.
pub(crate) struct Channel {
    pub(crate) lapin: lapin::Channel,
    /// Which of the link's connections it is on.
    pub(crate) connection: u64,
    pub(crate) server: Server,
    held: Arc<Held>,
}

impl Link {
    pub(crate) fn new(config: Arc<Config>, role: Role) -> Self {
        let (blocked, _) = watch::channel(false);
        Self {
            config,
            role,
            live: Mutex::default(),
            count: AtomicU64::new(0),
            frame_max: AtomicUsize::new(FRAME_MAX as usize),
            blocked,
            closed: AtomicBool::new(false),
        }
    }

    /// Opens a channel, on a new connection if there is none that works.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        let held = self.connection().await?;
        if *self.blocked.borrow() {
            // The request would not be sent before the server takes messages again.
            return Err(Error::new(ErrorKind::Blocked, "the server takes no messages; it is short of memory or disk"));
        }
        let error = match self.open(&held).await {
            // lapin never uses a channel's number again once the server has closed that channel, and comes back to it
            // after some two thousand others: then the fault is the connection's. What is open on it may stay there.
            Err(error) if error.kind() != ErrorKind::Timeout && held.connection.status().connected() => error,
            result => return result,
        };
        tracing::debug!(role = self.role.name(), %error, "the connection opens no channel, another one is made");
        self.live.lock().await.take_if(|live| live.held.number == held.number);
        drop(held);
        let held = self.connection().await?;
        self.open(&held).await.map_err(|error| {
            if error.is_temporary() {
                return error;
            }
            Error::new(ErrorKind::Connection, "no channel can be opened").with_source(error)
        })
    }

    async fn open(&self, held: &Arc<Held>) -> Result<Channel> {
        match within(CALL_TIMEOUT, "open a channel", held.connection.create_channel()).await {
            Ok(lapin) => {
                Ok(Channel { lapin, connection: held.number, server: held.line.server(), held: Arc::clone(held) })
            }
            Err(error) => {
                if error.kind() == ErrorKind::Timeout && !*self.blocked.borrow() {
                    self.discard(held.number).await;
                }
                Err(error)
            }
        }
    }

    /// The largest frame, in bytes, that was agreed on the last time.
    pub(crate) fn frame_max(&self) -> usize {
        self.frame_max.load(Ordering::Relaxed)
    }

    /// What the server says about itself.
    pub(crate) async fn server(&self) -> Result<Server> {
        Ok(self.connection().await?.line.server())
    }

    /// Whether the server has stopped taking messages; changes wake.
    pub(crate) fn blocked(&self) -> watch::Receiver<bool> {
        self.blocked.subscribe()
    }

    /// Cuts the connection of this number: it does not answer any more.
    pub(crate) async fn discard(&self, number: u64) {
        let mut live = self.live.lock().await;
        if let Some(broken) = live.take_if(|live| live.held.number == number) {
            tracing::warn!(role = self.role.name(), "the connection does not answer, it is cut");
            broken.held.line.cut();
        }
    }

    /// Closes the connection; no other is made.
    pub(crate) async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        let Some(Live { held, .. }) = self.live.lock().await.take() else { return Ok(()) };
        if !held.connection.status().connected() {
            return Ok(());
        }
        let closed = within(CLOSE_TIMEOUT, "close", held.connection.close(REPLY_SUCCESS, "OK".into())).await;
        if closed.is_err() {
            held.line.cut();
        }
        closed
    }

    async fn connection(&self) -> Result<Arc<Held>> {
        let mut live = self.live.lock().await;
        if self.closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        if live.as_ref().is_some_and(|live| !live.held.connection.status().connected()) {
            *live = None;
        }
        let live = match &mut *live {
            Some(live) => live,
            none => none.insert(self.connect().await?),
        };
        Ok(Arc::clone(&live.held))
    }

    /// Tries each host once, in random order, until one answers.
    async fn connect(&self) -> Result<Live> {
        let mut hosts: Vec<_> = self.config.hosts.iter().collect();
        fastrand::shuffle(&mut hosts);
        let mut failure = None;
        for host in hosts {
            match self.connect_to(host).await {
                Ok(live) => return Ok(live),
                // Another node of the cluster would answer the same.
                Err(error) if !error.is_temporary() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(ErrorKind::InvalidInput, "no host to connect to")))
    }

    async fn connect_to(&self, host: &(String, u16)) -> Result<Live> {
        let line = Line::default();
        // Whatever ends this function early, the timeout or its caller's drop, must end lapin's thread too.
        let mut guard = CutOnDrop(Some(line.clone()));
        let timeout = self.config.connect_timeout;
        let connect = {
            let (line, config, host) = (line.clone(), Arc::clone(&self.config), host.clone());
            async move |_, _| {
                let stream = line.connect(&host.0, host.1, config.tls.as_ref(), timeout).await;
                stream.map_err(lapin::Error::from)
            }
        };
        let name = format!("{} ({})", self.config.name, self.role.name());
        let properties = ConnectionProperties::default()
            .with_connection_name(name.into())
            .with_client_property("product".into(), "swarrot".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let connecting = Connection::connector(self.config.uri(host), Kit::runtime(), connect, properties);
        let target = format!("{}:{}", host.0, host.1);
        let connection = match tokio::time::timeout(timeout, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(explain(error).with_operation("connect").with_target(target)),
            Err(_) => {
                let message = format!("no answer within {timeout:?}; check host, port and network");
                return Err(Error::new(ErrorKind::Connection, message).with_operation("connect").with_target(target));
            }
        };
        guard.0 = None;
        self.frame_max.store(connection.configuration().frame_max() as usize, Ordering::Relaxed);
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::info!(role = self.role.name(), host = target, number, "connected");
        let listener = Listener::start(&connection, self.blocked.clone(), self.role.name());
        Ok(Live { held: Arc::new(Held { number, connection, line }), _listener: listener })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.lapin.status().connected() {
            return;
        }
        // A call that nobody waits for any more may be under way, and the server may answer it by closing the channel. If
        // that meets a close of ours, lapin takes the whole connection for broken. So ours has to come after the answers to
        // all that was sent: after the answer to one more call, which changes nothing.
        let (lapin, held) = (self.lapin.clone(), Arc::clone(&self.held));
        let close = async move {
            let answered = within(CALL_TIMEOUT, "close", lapin.basic_qos(0, BasicQosOptions::default())).await;
            if lapin.status().connected() && answered.is_ok() {
                let _ = within(CLOSE_TIMEOUT, "close", lapin.close(REPLY_SUCCESS, "OK".into())).await;
            }
            drop(held);
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(close)),
            // The first poll sends the request; nobody is left to wait for more.
            Err(_) => drop(self.lapin.close(REPLY_SUCCESS, "OK".into()).now_or_never()),
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Publish => "publish",
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // lapin would close it too, but not while it takes a number for one of a channel that never came to be open.
        if self.connection.status().connected() {
            let _ = self.connection.close(REPLY_SUCCESS, "OK".into()).now_or_never();
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Live({})", self.held.number)
    }
}

struct CutOnDrop(Option<Line>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.cut();
        }
    }
}

/// What a user did who calls a closed broker, provider or publisher.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "it was closed; make a new one")
}

fn explain(error: lapin::Error) -> Error {
    let refused = match error.kind() {
        lapin::ErrorKind::IOError(io) => Some(match io.kind() {
            std::io::ErrorKind::ConnectionRefused => "nothing listens there; check host and port, or start the server",
            // The standard library has no kind for it.
            _ if io.to_string().contains("failed to lookup address") => {
                "the host's name is not known; correct it in the URL, or mend the name service"
            }
            std::io::ErrorKind::TimedOut => "no answer; check host, port and network",
            _ => return from_lapin(error),
        }),
        _ => None,
    };
    match refused {
        Some(message) => Error::new(ErrorKind::Connection, message).with_source(error),
        None => from_lapin(error),
    }
}
