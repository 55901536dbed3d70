//! This workspace: its folder, and its packages as cargo sees them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// This workspace's folder.
///
/// # Errors
/// If this program is not run by cargo.
pub(crate) fn root() -> Result<PathBuf> {
    let own = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let root = Path::new(&own).parent().context("the folder of xtask has no parent")?;
    Ok(root.to_owned())
}

/// The cargo that runs this program, in the workspace's folder.
///
/// # Errors
/// As [`root`].
pub(crate) fn cargo(args: &[&str]) -> Result<Command> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(args).current_dir(root()?);
    // What cargo told this program of its own package. Build scripts that look at it would run again each time that
    // somebody calls cargo directly.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&variable);
        }
    }
    Ok(command)
}

/// A package of this workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    manifest_path: PathBuf,
    features: BTreeMap<String, Vec<String>>,
    /// The registries it may go to; `None` is any.
    publish: Option<Vec<String>>,
}

impl Package {
    pub(crate) fn manifest(&self) -> &Path {
        &self.manifest_path
    }

    pub(crate) fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    pub(crate) fn is_publishable(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// Its features but `default`.
    pub(crate) fn features(&self) -> impl Iterator<Item = &str> {
        self.features.keys().map(String::as_str).filter(|feature| *feature != "default")
    }
}

/// The packages of this workspace.
///
/// # Errors
/// If cargo cannot read them.
pub(crate) fn packages() -> Result<Vec<Package>> {
    Ok(metadata()?.packages)
}

/// Where cargo puts what it builds.
///
/// # Errors
/// If cargo cannot tell.
pub(crate) fn target() -> Result<PathBuf> {
    Ok(metadata()?.target_directory)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

fn metadata() -> Result<Metadata> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])?.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot read the workspace: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cannot read what cargo says")
}
