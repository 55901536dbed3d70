//! Where the installed programs are.

use std::ffi::OsString;
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

/// Names the root folder of another system, whose RabbitMQ is used; `cargo xtask brokers rabbitmq-4` makes one.
const ROOT: &str = "SWARROT_TEST_RABBITMQ_ROOT";
const CHROOT: &str = "/usr/sbin/chroot";

/// The programs of RabbitMQ.
#[derive(Clone, Debug)]
pub(super) struct RabbitMqPrograms {
    pub(super) server: PathBuf,
    pub(super) ctl: PathBuf,
    pub(super) epmd: PathBuf,
    /// The system that they belong to, where it is not this one.
    root: Option<PathBuf>,
}

impl RabbitMqPrograms {
    pub(super) fn find() -> Result<Self, BrokerError> {
        if let Some(root) = std::env::var_os(ROOT) {
            return Self::find_in(PathBuf::from(root));
        }
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
        let epmd = find("epmd").ok_or_else(missing("epmd, Erlang's port mapper,"))?;
        Ok(Self { server, ctl, epmd, root: None })
    }

    /// Those of another system, whose folders for temporary files, devices and processes are this one's.
    fn find_in(root: PathBuf) -> Result<Self, BrokerError> {
        let [server, ctl] = ["rabbitmq-server", "rabbitmqctl"].map(|name| Path::new(RABBITMQ_FOLDERS[0]).join(name));
        let inside = |program: &Path| root.join(program.strip_prefix("/").unwrap_or(program));
        if !inside(&server).is_file() {
            return Err(BrokerError::folder(&root, "there is no RabbitMQ; run `cargo xtask brokers rabbitmq-4`"));
        }
        if !inside(Path::new("/proc/self")).exists() {
            return Err(BrokerError::folder(&root, "/proc is not mounted; run `cargo xtask brokers rabbitmq-4`"));
        }
        Ok(Self { server, ctl, epmd: PathBuf::from("/usr/bin/epmd"), root: Some(root) })
    }

    /// The program to start for one of these, and what comes before its own arguments.
    pub(super) fn call<'a>(&'a self, program: &'a Path) -> (&'a Path, Vec<OsString>) {
        match &self.root {
            None => (program, Vec::new()),
            Some(root) => (Path::new(CHROOT), vec![root.into(), program.into()]),
        }
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
