//! `cargo xtask brokers rabbitmq-4`: a newer RabbitMQ than the system's, in a Debian 13 of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::install::{self, succeeds};
use crate::steps::{say, step};

const MIRROR: &str = "http://deb.debian.org/debian";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Unmounts and deletes it
    #[arg(long)]
    remove: bool,
}

/// Makes the system in the user's cache folder, unless it is there, and tells a shell how to use it.
///
/// # Errors
/// If the user is not root, or it cannot be fetched.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root can make and enter another system");
    }
    let root = folder()?;
    if args.remove {
        return remove(&root);
    }
    if !root.join("usr/lib/rabbitmq/bin/rabbitmq-server").is_file() {
        install::debootstrap()?;
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", "--include=rabbitmq-server", "trixie"]).arg(&root).arg(MIRROR);
        step("fetch Debian 13 with RabbitMQ 4.0", &mut make)?;
    }
    fs::copy("/etc/hosts", root.join("etc/hosts")).context("cannot copy /etc/hosts")?;
    for (what, place, kind) in mounts(&root) {
        if !is_mounted(&place)? {
            fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
            let mut mount = Command::new("mount");
            match kind {
                Some(kind) => mount.args(["-t", kind]),
                None => mount.arg("--bind"),
            };
            step("mount", mount.arg(what).arg(&place))?;
        }
    }
    say(
        "brokers that are started with this variable are RabbitMQ 4.0; `cargo xtask brokers rabbitmq-4 --remove` deletes it",
    );
    println!("export SWARROT_TEST_RABBITMQ_ROOT='{}'", root.display());
    Ok(())
}

fn folder() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("swarrot/debian-13"))
}

/// What the brokers in there need of this system: what, where, and its kind if it is none of its folders.
fn mounts(root: &Path) -> [(PathBuf, PathBuf, Option<&'static str>); 3] {
    let temporary = env::temp_dir();
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    [
        ("proc".into(), root.join("proc"), Some("proc")),
        ("/dev".into(), root.join("dev"), None),
        (temporary.clone(), inside(&temporary), None),
    ]
}

fn is_mounted(place: &Path) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    let place = place.display().to_string();
    Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(place.as_str())))
}

fn remove(root: &Path) -> Result<()> {
    for (_, place, _) in mounts(root) {
        if is_mounted(&place)? && !succeeds(Command::new("umount").arg(&place)) {
            bail!("{} is in use", place.display());
        }
    }
    // What is mounted there is not ours to delete.
    step("delete", Command::new("rm").args(["-rf", "--one-file-system", "--"]).arg(root))
}
