//! The proxy itself: it listens, and does what it is told.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::connection;
use super::counters::Counters;
use super::rules::{Cut, Direction, Rules};
use crate::brokers::Port;

const ACCEPT_AGAIN: Duration = Duration::from_millis(10);
/// How often it tries to listen, with [`ACCEPT_AGAIN`] in between.
const TRIES: u32 = 200;

/// A TCP proxy on the loopback interface, between clients and one server; dropping it breaks all connections.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
    /// `None` while connections are refused.
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts a proxy to this server. The server need not be there yet: a connection that cannot be passed on is reset.
    ///
    /// # Errors
    /// If no port can be opened.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            target,
            rules: watch::Sender::default(),
            counters: watch::Sender::default(),
            connections: Mutex::new(Some(JoinSet::new())),
        });
        let proxy = Self { port: Port::any()?, shared, acceptor: Mutex::default() };
        proxy.refuse(false).await?;
        Ok(proxy)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }

    /// Resets all connections, both ways; they are gone on return. New ones are accepted.
    ///
    /// # Cancel safety
    /// A dropped call has broken all connections.
    pub async fn cut(&self) {
        self.shared.count(|counters| counters.cuts += 1);
        let mut cut = self.shared.cut_all();
        while cut.join_next().await.is_some() {}
    }

    /// Stops passing data on in this direction, and keeps connections open. What is on its way already may pass.
    pub fn freeze(&self, direction: Direction) {
        self.shared.rules.send_modify(|rules| rules.way_mut(direction).frozen = true);
    }

    /// Passes data on again, in both directions; nothing was lost.
    pub fn thaw(&self) {
        self.shared.rules.send_modify(Rules::thaw);
    }

    /// Refuses new connections, or accepts them again; it does so on return. Open ones stay.
    ///
    /// # Errors
    /// If the port cannot be opened again.
    ///
    /// # Cancel safety
    /// A dropped call to refuse does so soon.
    pub async fn refuse(&self, refuse: bool) -> io::Result<()> {
        if refuse {
            let acceptor = self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(acceptor) = acceptor {
                acceptor.abort();
                // It ends as aborted; the port is closed then.
                let _ = acceptor.await;
            }
            return Ok(());
        }
        if self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let listener = listen(self.addr()).await?;
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
        *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(acceptor);
        Ok(())
    }

    /// Cuts all connections, once, when this many more bytes have passed in this direction, over all connections.
    ///
    /// Exactly these bytes arrive, then an end of stream; the other side sees a reset. A later call for the same
    /// direction takes the place of an earlier one.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.arm(direction, Cut::Bytes(bytes), false);
    }

    /// Cuts all connections, once, right behind this many more AMQP frames, or Redis commands or replies, in this
    /// direction, over all connections.
    ///
    /// As [`cut_after`](Self::cut_after). Heartbeats, and the protocol header at the start, do not count. Zero cuts
    /// before the next byte.
    pub fn cut_after_frames(&self, direction: Direction, frames: u64) {
        self.arm(direction, Cut::Frames(frames), false);
    }

    /// As [`cut_after_frames`](Self::cut_after_frames), but [freezes](Self::freeze) this direction there; it counts as a
    /// cut.
    pub fn freeze_after_frames(&self, direction: Direction, frames: u64) {
        self.arm(direction, Cut::Frames(frames), true);
    }

    fn arm(&self, direction: Direction, cut: Cut, freezes: bool) {
        self.shared.rules.send_modify(|rules| {
            let way = rules.way_mut(direction);
            (way.cut, way.freezes) = (Some(cut), freezes);
        });
    }

    /// Takes back a [`cut_after`](Self::cut_after), [`cut_after_frames`](Self::cut_after_frames) or
    /// [`freeze_after_frames`](Self::freeze_after_frames) that has not happened; says whether there was one.
    pub fn disarm(&self, direction: Direction) -> bool {
        let mut armed = false;
        self.shared.rules.send_modify(|rules| armed = rules.way_mut(direction).cut.take().is_some());
        armed
    }

    /// Holds each chunk of data back for this long before it is passed on; zero ends that.
    pub fn delay(&self, delay: Duration) {
        self.shared.rules.send_modify(|rules| rules.pace.delay = delay);
    }

    /// Passes on about this many bytes a second, for each connection and direction; `None` ends that.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.shared.rules.send_modify(|rules| rules.pace.rate = bytes_per_second);
    }

    /// What has passed.
    pub fn counters(&self) -> Counters {
        *self.shared.counters.borrow()
    }

    /// Waits until what has passed is like this, and returns it.
    ///
    /// # Cancel safety
    /// Nothing happens when it is dropped.
    pub async fn until(&self, condition: impl Fn(&Counters) -> bool) -> Counters {
        let mut counters = self.shared.counters.subscribe();
        // The sender is there as long as the proxy.
        counters.wait_for(|counters| condition(counters)).await.map_or_else(|_| self.counters(), |counters| *counters)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(acceptor) = self.acceptor.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            acceptor.abort();
        }
        // Dropping the tasks breaks their connections, and the acceptor, should it still run, finds no place for more.
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What the proxy shares with its connections.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: SocketAddr,
    pub(super) rules: watch::Sender<Rules>,
    counters: watch::Sender<Counters>,
    /// `None` once the proxy is gone.
    connections: Mutex<Option<JoinSet<()>>>,
}

impl Shared {
    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        self.counters.send_modify(count);
    }

    /// Tells all connections to break off; the tasks that do so.
    pub(super) fn cut_all(&self) -> JoinSet<()> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        self.rules.send_modify(|rules| rules.epoch += 1);
        connections.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// A process that is just being started has all that was open in this one until it becomes another program: also what has looked
/// whether the port is free.
async fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    for _ in 1..TRIES {
        match TcpListener::bind(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(ACCEPT_AGAIN).await,
            listener => return listener,
        }
    }
    TcpListener::bind(addr).await
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Too many open files, or a client that went away at once; either passes.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connections) = connections.as_mut() else { return };
        while connections.try_join_next().is_some() {}
        let epoch = shared.rules.borrow().epoch;
        shared.count(|counters| {
            counters.connections += 1;
            counters.open += 1;
        });
        connections.spawn(connection::run(client, Arc::clone(&shared), epoch));
    }
}
