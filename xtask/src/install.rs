//! Finds the programs of brokers and of foreign clients, or installs them from the system's packages.

use std::io::{IsTerminal, stdin};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use swarrot_conformance::brokers::{find_rabbitmq, find_redis};

use crate::interrupt::Interrupted;
use crate::steps::{say, step};
use crate::workspace::cargo;

/// Makes sure that RabbitMQ and Redis are there.
///
/// # Errors
/// If they are not and cannot be installed; says what to do by hand.
pub(crate) fn brokers() -> Result<()> {
    programs(&[RABBITMQ, REDIS])
}

/// Makes sure that valgrind is there.
///
/// # Errors
/// As [`brokers`].
pub(crate) fn valgrind() -> Result<()> {
    programs(&[VALGRIND])
}

/// Makes sure that RabbitMQ, Redis and Python are there.
///
/// # Errors
/// As [`brokers`].
pub(crate) fn brokers_and_python() -> Result<()> {
    programs(&[RABBITMQ, REDIS, PYTHON])
}

/// Makes sure that debootstrap is there, which makes a Debian system in a folder.
///
/// # Errors
/// As [`brokers`].
pub(crate) fn debootstrap() -> Result<()> {
    programs(&[DEBOOTSTRAP])
}

/// Makes sure that cargo has this command, such as `deny`, or installs it with these options.
///
/// # Errors
/// If it cannot be installed.
pub(crate) fn cargo_command(name: &str, options: &[&str]) -> Result<()> {
    if succeeds(&mut cargo(&[name, "--version"])?) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    let install = ["install", "-q", "--locked", &package];
    step(&format!("install {package}"), cargo(&install)?.args(options))
}

/// A program, and where it comes from.
struct Program {
    name: &'static str,
    debian: &'static [&'static str],
    brew: &'static str,
    is_there: fn() -> bool,
}

const RABBITMQ: Program =
    Program { name: "RabbitMQ", debian: &["rabbitmq-server"], brew: "rabbitmq", is_there: || find_rabbitmq().is_ok() };

const REDIS: Program =
    Program { name: "Redis", debian: &["redis-server"], brew: "redis", is_there: || find_redis().is_ok() };

const DEBOOTSTRAP: Program = Program {
    name: "debootstrap",
    debian: &["debootstrap"],
    brew: "debootstrap",
    is_there: || succeeds(Command::new("debootstrap").arg("--version")),
};

const PYTHON: Program = Program {
    name: "Python",
    // Debian keeps what an environment is made with apart.
    debian: &["python3", "python3-venv"],
    brew: "python",
    is_there: || succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])),
};

const VALGRIND: Program = Program {
    name: "valgrind",
    // Debian keeps what it knows of the C library apart.
    debian: &["valgrind", "libc6-dbg"],
    brew: "valgrind",
    is_there: || succeeds(Command::new("valgrind").arg("--version")),
};

fn programs(wanted: &[Program]) -> Result<()> {
    let missing = || wanted.iter().filter(|program| !(program.is_there)()).collect::<Vec<_>>();
    let to_install = missing();
    if to_install.is_empty() {
        let names: Vec<_> = wanted.iter().map(|program| program.name).collect();
        say(format_args!("{}: installed", names.join(", ")));
        return Ok(());
    }
    if cfg!(target_os = "macos") {
        let packages: Vec<_> = to_install.iter().map(|program| program.brew).collect();
        bail!("not installed: run `brew install {}`", packages.join(" "));
    }
    apt(&to_install.iter().flat_map(|program| program.debian).copied().collect::<Vec<_>>())?;
    let missing: Vec<_> = missing().iter().map(|program| program.name).collect();
    if !missing.is_empty() {
        bail!("{} installed, but the programs are not where they should be", missing.join(" and "));
    }
    Ok(())
}

fn apt(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("{} not installed, and there is no apt-get: install them by your system's means", packages.join(" and "));
    }
    let Some(privilege) = Privilege::find() else {
        bail!("{} not installed: run `{by_hand}` as root", packages.join(" and "));
    };
    say(format_args!("installing {}; services that the system may start are not used", packages.join(" and ")));
    match step("update the package lists", privilege.apt_get().args(["-qq", "update"])) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => say(format_args!("{error}; the old lists may do")),
        Ok(()) => {}
    }
    let install = ["-qq", "-y", "--no-install-recommends", "install"];
    step("install", privilege.apt_get().args(install).args(packages))
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

/// Whether it runs and ends well, unseen.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
