//! A private RabbitMQ node.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::daemon::{Daemon, clear_env};
use super::error::BrokerError;
use super::home::Home;
use super::ports::Port;
use super::process::output_within;
use super::programs::RabbitMqPrograms;
use super::rabbitmq_node::Node;
use super::ready::{self, wait_until_ready};
use super::start::Start;

/// How long a node may take to end by itself.
const STOP_WAIT: Duration = Duration::from_secs(30);
/// A call that takes longer will never end.
const CTL_WAIT: Duration = Duration::from_secs(180);

/// A private RabbitMQ node, without plugins, with the user `guest`; see [the module](super) for what ends it.
///
/// Every call blocks the thread. Calls that start or end the node wait for each other.
#[derive(Debug)]
pub struct RabbitMq {
    home: Home,
    node: Node,
    programs: RabbitMqPrograms,
    server: Daemon,
    mapper: Daemon,
    turn: Mutex<()>,
    _ports: Vec<Port>,
}

impl RabbitMq {
    /// Starts a node, and waits until it answers: some five to fifteen seconds.
    ///
    /// # Errors
    /// If RabbitMQ is not installed, what installs it; if the node does not come up, what its log says.
    pub fn start(start: &Start) -> Result<Self, BrokerError> {
        let programs = RabbitMqPrograms::find()?;
        let home = Home::make("rabbitmq", start)?;
        let server = Daemon::new(home.dir(), "rabbitmq");
        if server.is_alive() {
            return Err(BrokerError::folder(home.dir(), "a RabbitMQ node runs there already"));
        }
        let mapper = Daemon::new(home.dir(), "epmd");
        mapper.kill()?;
        let (node, ports) = Node::lease(home.dir())?;
        let broker = Self { home, node, programs, server, mapper, turn: Mutex::new(()), _ports: ports };
        broker.node.save(broker.dir())?;
        broker.node.configure(broker.dir(), start)?;
        broker.up()?;
        Ok(broker)
    }

    /// Prepares a node for this place of a cluster, in a folder that is deleted with it. [`restart`](Self::restart) starts it.
    pub(super) fn prepare(start: &Start, place: u16, mapper: &Mapper) -> Result<Self, BrokerError> {
        let programs = RabbitMqPrograms::find()?;
        let home = Home::make("rabbitmq", start)?;
        let (node, ports) = Node::lease(home.dir())?;
        let node = node.in_cluster(place, mapper.port);
        let (server, mapper) = (Daemon::new(home.dir(), "rabbitmq"), Daemon::new(&mapper.dir, "epmd"));
        let broker = Self { home, node, programs, server, mapper, turn: Mutex::new(()), _ports: ports };
        broker.node.save(broker.dir())?;
        broker.node.configure(broker.dir(), start)?;
        Ok(broker)
    }

    /// A handle on the node that another process started in this folder, running or not. Dropping it ends nothing.
    ///
    /// # Errors
    /// If no node was ever started there, or RabbitMQ is not installed any more.
    pub fn attach(dir: impl AsRef<Path>) -> Result<Self, BrokerError> {
        let home = Home::attach(dir.as_ref())?;
        let node = Node::load(home.dir())
            .ok_or_else(|| BrokerError::folder(home.dir(), "no RabbitMQ node was started there"))?;
        let (server, mapper) = (Daemon::new(home.dir(), "rabbitmq"), Daemon::new(home.dir(), "epmd"));
        let programs = RabbitMqPrograms::find()?;
        Ok(Self { home, node, programs, server, mapper, turn: Mutex::new(()), _ports: Vec::new() })
    }

    /// Leaves the node running when the handle, and this process, is gone; [`attach`](Self::attach) and
    /// [`stop`](Self::stop) end it. A temporary folder is kept.
    pub fn detach(mut self) {
        self.home.release();
    }

    /// Its folder, with its data and logs.
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// The AMQP port, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.node.amqp
    }

    /// Where its AMQP port is.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.node.amqp))
    }

    /// The URL of its default virtual host.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.node.amqp)
    }

    /// The process id of the node, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.server.pid()
    }

    /// Kills the node with SIGKILL, and waits until it is dead. No error if it is.
    ///
    /// # Errors
    /// If it does not die.
    pub fn kill(&self) -> Result<(), BrokerError> {
        let _turn = self.turn();
        self.server.kill()
    }

    /// Starts the node again with the same data and port, and waits until it answers. Kills it first if it runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<(), BrokerError> {
        let _turn = self.turn();
        self.server.kill()?;
        self.up()
    }

    /// Asks the node to end, waits until it has, and ends its port mapper. [`restart`](Self::restart) starts both again.
    ///
    /// # Errors
    /// If it does not end, even when killed.
    pub fn stop(&self) -> Result<(), BrokerError> {
        let _turn = self.turn();
        self.server.stop(STOP_WAIT)?;
        self.mapper.kill()
    }

    /// Runs `rabbitmqctl` with these arguments, and returns what it prints: one to two seconds.
    ///
    /// # Errors
    /// What it says, if it fails.
    pub fn ctl(&self, args: &[&str]) -> Result<String, BrokerError> {
        let (ctl, before) = self.programs.call(&self.programs.ctl);
        let mut command = Command::new(ctl);
        clear_env(&mut command).envs(self.node.env(self.dir())).args(before).arg("--quiet").args(args);
        command.current_dir(self.dir()).stdin(Stdio::null());
        let Some(output) = output_within(&mut command, CTL_WAIT).map_err(BrokerError::io("run rabbitmqctl"))? else {
            let output = format!("it had not ended after {CTL_WAIT:?}");
            return Err(BrokerError::Ctl { command: args.join(" "), output });
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        let said = [text(&output.stderr), text(&output.stdout)].join(" ");
        let output = said.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(BrokerError::Ctl { command: args.join(" "), output })
    }

    /// Raises the memory alarm, which blocks connections that publish, or clears it; it has happened on return.
    ///
    /// # Errors
    /// As [`ctl`](Self::ctl).
    pub fn set_memory_alarm(&self, raised: bool) -> Result<(), BrokerError> {
        let mark = if raised { "0.0" } else { "0.4" };
        // In one call, as each takes its time.
        let code = format!(
            "vm_memory_monitor:set_vm_memory_high_watermark({mark}), \
             lists:any(fun({{{{resource_limit, memory, _}}, _}}) -> true; (_) -> false end, rabbit_alarm:get_alarms())."
        );
        let output = self.ctl(&["eval", &code])?;
        if output == raised.to_string() {
            return Ok(());
        }
        Err(BrokerError::Ctl { command: format!("set the memory mark to {mark}"), output })
    }

    /// Starts the port mapper, unless it runs.
    pub(super) fn start_mapper(&self) -> Result<(), BrokerError> {
        if self.mapper.is_alive() {
            return Ok(());
        }
        let (mapper, mut args) = self.programs.call(&self.programs.epmd);
        args.extend(["-port", &self.node.epmd.to_string(), "-address", "127.0.0.1"].map(Into::into));
        self.mapper.spawn(mapper, &args, &self.node.env(self.dir()))
    }

    fn up(&self) -> Result<(), BrokerError> {
        self.start_mapper()?;
        let env = self.node.env(self.dir());
        let (server, args) = self.programs.call(&self.programs.server);
        self.server.spawn(server, &args, &env)?;
        wait_until_ready(ready::AMQP, self.node.amqp, &self.server, &self.node.log(self.dir()))
    }

    fn kill_all(&self) {
        let _ = self.server.kill();
        let _ = self.mapper.kill();
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The port mapper that the nodes of a cluster share.
#[derive(Debug)]
pub(super) struct Mapper {
    /// Where its pid file is.
    pub(super) dir: PathBuf,
    pub(super) port: u16,
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if self.home.is_owner() {
            self.kill_all();
        }
    }
}
