//! Where the installed programs are.

use std::path::{Path, PathBuf};

use super::error::BrokerError;

const INSTALL_RABBITMQ: &str =
    if cfg!(target_os = "macos") { "brew install rabbitmq" } else { "apt-get install rabbitmq-server" };
const INSTALL_REDIS: &str =
    if cfg!(target_os = "macos") { "brew install redis" } else { "apt-get install redis-server" };

/// Before the search path: what packages put there under that name switches to another user first.
const RABBITMQ_FOLDERS: [&str; 3] =
    ["/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"];
const MORE_FOLDERS: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/erlang/bin",
    "/usr/lib/erlang/bin",
];

/// The programs of RabbitMQ.
#[derive(Clone, Debug)]
pub(super) struct RabbitMqPrograms {
    pub(super) server: PathBuf,
    pub(super) ctl: PathBuf,
    pub(super) epmd: PathBuf,
}

impl RabbitMqPrograms {
    pub(super) fn find() -> Result<Self, BrokerError> {
        let missing = |program| move || BrokerError::Missing { program, install: INSTALL_RABBITMQ };
        let server = RABBITMQ_FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join("rabbitmq-server"))
            .find(|program| program.is_file())
            .or_else(|| find("rabbitmq-server"))
            .ok_or_else(missing("RabbitMQ"))?;
        let ctl = server.with_file_name("rabbitmqctl");
        let ctl = if ctl.is_file() { Some(ctl) } else { find("rabbitmqctl") }.ok_or_else(missing("rabbitmqctl"))?;
        find("erl").ok_or_else(missing("Erlang"))?;
        Ok(Self { server, ctl, epmd: find("epmd").ok_or_else(missing("epmd, Erlang's port mapper,"))? })
    }
}

/// The server of Redis, or Valkey's, which is the same to its clients.
pub(super) fn redis_server() -> Result<PathBuf, BrokerError> {
    let missing = || BrokerError::Missing { program: "Redis", install: INSTALL_REDIS };
    find("redis-server").or_else(|| find("valkey-server")).ok_or_else(missing)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|program| program.is_file())
}
