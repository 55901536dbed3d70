//! A private Redis master with a replica, and a sentinel that watches them.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::error::BrokerError;
use super::home::Home;
use super::ports::Port;
use super::programs::redis_server;
use super::ready::{self, wait_until_ready};
use super::redis::Redis;
use super::redis_client::Client;
use super::start::Start;

const BROKER: &str = "redis-sentinel";
const MASTER: &str = "main";
/// How long the master may be silent before the sentinel names another.
const DOWN_AFTER: Duration = Duration::from_secs(1);
const READY: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A private Redis master with one replica, and one sentinel; see [the module](super) for what ends them.
///
/// Every call blocks the thread.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: [Redis; 2],
    port: Port,
    sentinel: Daemon,
    // Last: it deletes the folder.
    _home: Home,
}

impl RedisSentinel {
    /// Starts all three, and waits until the sentinel knows both servers and the replica has what the master has.
    ///
    /// # Errors
    /// As [`Redis::start`], or if they do not find each other.
    pub fn start(start: &Start) -> Result<Self, BrokerError> {
        let master = Redis::start(start)?;
        let replica = Redis::start(&start.clone().config(format!("replicaof 127.0.0.1 {}", master.port())))?;
        let home = Home::make(BROKER, &Start::new())?;
        let port = Port::any().map_err(BrokerError::io("find a free port for a sentinel"))?;
        let config = home.dir().join("sentinel.conf");
        let lines = format!(
            "port {}\nbind 127.0.0.1\ndaemonize no\nsentinel monitor {MASTER} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {MASTER} {}\nsentinel failover-timeout {MASTER} 5000\n",
            port.number(),
            master.port(),
            DOWN_AFTER.as_millis(),
        );
        // The sentinel writes into it what it finds out.
        fs::write(&config, lines).map_err(BrokerError::io("write the configuration of a sentinel"))?;
        let sentinel = Daemon::new(home.dir(), BROKER);
        sentinel.spawn(&redis_server()?, &[OsString::from(config), OsString::from("--sentinel")], &[])?;
        wait_until_ready(ready::REDIS, port.number(), &sentinel, &sentinel.output())?;
        let group = Self { servers: [master, replica], port, sentinel, _home: home };
        group.wait_until_joined().map_err(BrokerError::io("join a sentinel and its servers"))?;
        Ok(group)
    }

    /// The URL by which the sentinel is asked for the master.
    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/0?master={MASTER}", self.addr())
    }

    /// Where the sentinel is.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }

    /// Makes the sentinel fit for a busy machine, where a master may be silent for a while, and a sentinel that distrusts its clock does
    /// nothing for half a minute each time: it is slower to call a master dead, and quicker in all else.
    ///
    /// # Errors
    /// If it does not answer, or does not know the commands, as before Redis 7.0.
    pub fn bear_load(&self) -> Result<(), BrokerError> {
        let periods = ["INFO-PERIOD", "1000", "PUBLISH-PERIOD", "500", "PING-PERIOD", "250", "TILT-PERIOD", "5000"];
        let debug = ["SENTINEL", "DEBUG"].into_iter().chain(periods).collect::<Vec<_>>();
        Client::connect(self.addr())
            .and_then(|mut sentinel| {
                sentinel.ok(&debug)?;
                sentinel.ok(&["SENTINEL", "SET", MASTER, "down-after-milliseconds", "3000"])
            })
            .map_err(BrokerError::io("set up a sentinel"))
    }

    /// The server that was the master first, and the one that was its replica.
    pub fn servers(&self) -> &[Redis; 2] {
        &self.servers
    }

    fn wait_until_joined(&self) -> std::io::Result<()> {
        let deadline = Instant::now() + READY;
        let mut sentinel = Client::connect(self.addr())?;
        let mut replica = Client::connect(self.servers[1].addr())?;
        loop {
            let known = sentinel.bulk(&["INFO", "sentinel"])?.contains("slaves=1");
            let synced = replica.bulk(&["INFO", "replication"])?.contains("master_link_status:up");
            if known && synced {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(std::io::Error::other("they did not find each other in time"));
            }
            sleep(POLL);
        }
    }
}

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
    }
}
