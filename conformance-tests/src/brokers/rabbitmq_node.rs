//! Settings of a private RabbitMQ node: its ports, files and environment.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::BrokerError;
use super::ports::Port;
use super::start::Start;
use super::state::State;

/// The name of the state file.
const BROKER: &str = "rabbitmq";

/// The numbers of a node's ports, and its place in a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) amqp: u16,
    dist: u16,
    pub(super) epmd: u16,
    /// From 1; 0 for a node that is alone.
    place: u16,
}

impl Node {
    /// Those that the folder's node had, if they are free, or else new ones. The leases keep others off them.
    pub(super) fn lease(dir: &Path) -> Result<(Self, Vec<Port>), BrokerError> {
        let before = Self::load(dir);
        let place = before.map_or(0, |node| node.place);
        let mut leases = Vec::new();
        let mut port = |before: Option<u16>| {
            let lease = before.map(Port::take).transpose()?.flatten().map_or_else(Port::any, Ok)?;
            let number = lease.number();
            leases.push(lease);
            Ok::<u16, std::io::Error>(number)
        };
        let mut lease = || -> std::io::Result<Self> {
            Ok(Self {
                amqp: port(before.map(|node| node.amqp))?,
                dist: port(before.map(|node| node.dist))?,
                epmd: port(before.map(|node| node.epmd))?,
                place,
            })
        };
        let node = lease().map_err(BrokerError::io("find free ports for RabbitMQ"))?;
        Ok((node, leases))
    }

    /// The node that was started in this folder.
    pub(super) fn load(dir: &Path) -> Option<Self> {
        let state = State::load(dir, BROKER)?;
        let place = state.get("place").unwrap_or(0);
        Some(Self { amqp: state.get("amqp")?, dist: state.get("dist")?, epmd: state.get("epmd")?, place })
    }

    pub(super) fn save(self, dir: &Path) -> Result<(), BrokerError> {
        let mut state = State::default();
        state.set("amqp", self.amqp);
        state.set("dist", self.dist);
        state.set("epmd", self.epmd);
        state.set("place", self.place);
        state.save(dir, BROKER)
    }

    /// The same in this place of a cluster whose nodes share a port mapper.
    pub(super) fn in_cluster(self, place: u16, epmd: u16) -> Self {
        Self { epmd, place, ..self }
    }

    /// A node that is alone has a port mapper of its own, so that one name does for all of these.
    pub(super) fn name(self) -> String {
        match self.place {
            0 => "swarrot@localhost".to_owned(),
            place => format!("swarrot{place}@localhost"),
        }
    }

    /// Writes the configuration files.
    pub(super) fn configure(self, dir: &Path, start: &Start) -> Result<(), BrokerError> {
        let config = format!(
            "loopback_users = none\nlisteners.tcp.default = 127.0.0.1:{}\ndisk_free_limit.absolute = 1MB\n{}\n",
            self.amqp,
            start.config.join("\n"),
        );
        let advanced = format!("[{}].\n", start.advanced.join(", "));
        fs::write(dir.join("rabbitmq.conf"), config)
            .and_then(|()| fs::write(dir.join("advanced.config"), advanced))
            .and_then(|()| fs::write(dir.join("enabled_plugins"), "[].\n"))
            .map_err(BrokerError::io("write the configuration of RabbitMQ"))
    }

    /// What the node and its tool need to know to stay by themselves.
    pub(super) fn env(self, dir: &Path) -> Vec<(&'static str, OsString)> {
        let path = |name: &str| dir.join(name).into_os_string();
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        vec![
            // The cookie is there.
            ("HOME", dir.into()),
            ("ERL_EPMD_PORT", self.epmd.to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODENAME", self.name().into()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODE_PORT", self.amqp.to_string().into()),
            ("RABBITMQ_DIST_PORT", self.dist.to_string().into()),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_PID_FILE", path("rabbitmq.own-pid")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback.into()),
            ("RABBITMQ_CTL_ERL_ARGS", loopback.into()),
            // The start script becomes the node, instead of staying as its parent and trapping signals.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ]
    }

    pub(super) fn log(self, dir: &Path) -> PathBuf {
        dir.join("log").join(format!("{}.log", self.name()))
    }
}
