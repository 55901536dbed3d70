//! A private Redis server.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::daemon::Daemon;
use super::error::BrokerError;
use super::home::Home;
use super::ports::Port;
use super::programs::redis_server;
use super::ready::{self, wait_until_ready};
use super::start::Start;
use super::state::State;

const BROKER: &str = "redis";
const STOP_WAIT: Duration = Duration::from_secs(10);

/// A private Redis server that writes an append-only file; see [the module](super) for what ends it.
///
/// Every call blocks the thread. Calls that start or end the server wait for each other.
#[derive(Debug)]
pub struct Redis {
    home: Home,
    port: u16,
    program: PathBuf,
    server: Daemon,
    turn: Mutex<()>,
    _lease: Option<Port>,
}

impl Redis {
    /// Starts a server, and waits until it answers: some tens of milliseconds.
    ///
    /// # Errors
    /// If Redis is not installed, what installs it; if the server does not come up, what its log says.
    pub fn start(start: &Start) -> Result<Self, BrokerError> {
        let program = redis_server()?;
        let home = Home::make(BROKER, start)?;
        let server = Daemon::new(home.dir(), BROKER);
        if server.is_alive() {
            return Err(BrokerError::folder(home.dir(), "a Redis server runs there already"));
        }
        let before = State::load(home.dir(), BROKER).and_then(|state| state.get("port"));
        let lease = before.map(Port::take).transpose().and_then(|lease| lease.flatten().map_or_else(Port::any, Ok));
        let lease = lease.map_err(BrokerError::io("find a free port for Redis"))?;
        let mut state = State::default();
        state.set("port", lease.number());
        state.save(home.dir(), BROKER)?;
        let (port, turn) = (lease.number(), Mutex::new(()));
        let broker = Self { home, port, program, server, turn, _lease: Some(lease) };
        broker.configure(&start.config)?;
        broker.up()?;
        Ok(broker)
    }

    /// A handle on the server that another process started in this folder, running or not. Dropping it ends nothing.
    ///
    /// # Errors
    /// If no server was ever started there, or Redis is not installed any more.
    pub fn attach(dir: impl AsRef<Path>) -> Result<Self, BrokerError> {
        let home = Home::attach(dir.as_ref())?;
        let port = State::load(home.dir(), BROKER)
            .and_then(|state| state.get("port"))
            .ok_or_else(|| BrokerError::folder(home.dir(), "no Redis server was started there"))?;
        let (server, program) = (Daemon::new(home.dir(), BROKER), redis_server()?);
        Ok(Self { home, port, program, server, turn: Mutex::new(()), _lease: None })
    }

    /// Leaves the server running when the handle, and this process, is gone; [`attach`](Self::attach) and
    /// [`stop`](Self::stop) end it. A temporary folder is kept.
    pub fn detach(mut self) {
        self.home.release();
    }

    /// Its folder, with its data and log.
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// The port, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its port is.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The URL of its first database.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The process id of the server, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.server.pid()
    }

    /// Kills the server with SIGKILL, and waits until it is dead. No error if it is.
    ///
    /// # Errors
    /// If it does not die.
    pub fn kill(&self) -> Result<(), BrokerError> {
        let _turn = self.turn();
        self.server.kill()
    }

    /// Starts the server again with the same data and port, and waits until it answers. Kills it first if it runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<(), BrokerError> {
        let _turn = self.turn();
        self.server.kill()?;
        self.up()
    }

    /// Asks the server to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not end, even when killed.
    pub fn stop(&self) -> Result<(), BrokerError> {
        let _turn = self.turn();
        self.server.stop(STOP_WAIT)
    }

    fn configure(&self, more: &[String]) -> Result<(), BrokerError> {
        let config = format!(
            "port {}\nbind 127.0.0.1\ndaemonize no\nappendonly yes\nappendfsync everysec\nsave \"\"\n{}\n",
            self.port,
            more.join("\n"),
        );
        fs::write(self.config_file(), config).map_err(BrokerError::io("write the configuration of Redis"))
    }

    fn config_file(&self) -> PathBuf {
        self.dir().join("redis.conf")
    }

    fn up(&self) -> Result<(), BrokerError> {
        let args = [OsString::from(self.config_file())];
        self.server.spawn(&self.program, &args, &[])?;
        wait_until_ready(ready::REDIS, self.port, &self.server, &self.server.output())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.home.is_owner() {
            let _ = self.server.kill();
        }
    }
}
