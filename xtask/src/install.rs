//! Finds the brokers' programs, or installs them from the system's packages.

use std::io::{IsTerminal, stdin};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use swarrot_conformance::brokers::{find_rabbitmq, find_redis};

use crate::interrupt::Interrupted;
use crate::steps::{say, step};

/// Makes sure that RabbitMQ and Redis are there.
///
/// # Errors
/// If they are not and cannot be installed; says what to do by hand.
pub(crate) fn brokers() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        say("RabbitMQ and Redis are installed");
        return Ok(());
    }
    if cfg!(target_os = "macos") {
        bail!("not installed: run `brew install {}`", missing.join(" ").replace("-server", ""));
    }
    apt(&missing)
}

/// The Debian packages of what is missing.
fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if find_rabbitmq().is_err() {
        missing.push("rabbitmq-server");
    }
    if find_redis().is_err() {
        missing.push("redis-server");
    }
    missing
}

fn apt(packages: &[&'static str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("{} not installed, and there is no apt-get: install them by your system's means", packages.join(" and "));
    }
    let Some(privilege) = Privilege::find() else {
        bail!("{} not installed: run `{by_hand}` as root", packages.join(" and "));
    };
    say(format_args!("installing {}; the system may start it as a service, which is not used", packages.join(" and ")));
    match step("update the package lists", privilege.apt_get().args(["-qq", "update"])) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => say(format_args!("{error}; the old lists may do")),
        Ok(()) => {}
    }
    let install = ["-qq", "-y", "--no-install-recommends", "install"];
    step("install", privilege.apt_get().args(install).args(packages))?;
    let missing = missing();
    if !missing.is_empty() {
        bail!("{} installed, but the programs are not where they should be", missing.join(" and "));
    }
    Ok(())
}

/// How to become root.
enum Privilege {
    IsRoot,
    Sudo,
}

impl Privilege {
    /// `None` if there is no way, or no terminal to ask for a password on.
    fn find() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            return Some(Self::IsRoot);
        }
        let asks = succeeds(Command::new("sudo").arg("--version")) && stdin().is_terminal();
        (asks || succeeds(Command::new("sudo").args(["-n", "true"]))).then_some(Self::Sudo)
    }

    fn apt_get(&self) -> Command {
        let mut command = Command::new(match self {
            Self::IsRoot => "env",
            Self::Sudo => "sudo",
        });
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "Dpkg::Use-Pty=0"]);
        command
    }
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
