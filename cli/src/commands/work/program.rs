//! The program that is run for each message.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// A program with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

/// Looks the program up, so that a mistake in its name costs no message an attempt.
///
/// # Errors
/// If there is none that can be run.
pub(crate) fn find(command: &[OsString]) -> Result<Program> {
    let (name, arguments) = command.split_first().ok_or_else(|| Failure::usage("--exec needs a command"))?;
    let path = resolve(name).ok_or_else(|| {
        let name = name.to_string_lossy();
        let hint = if name.contains(' ') { "; for a line of shell write --exec sh -c '…'" } else { "" };
        Failure::usage(format!("there is no program {name:?} that can be run{hint}"))
    })?;
    Ok(Program { path, arguments: arguments.to_vec() })
}

fn resolve(name: &OsStr) -> Option<PathBuf> {
    if Path::new(name).components().count() > 1 {
        return Some(PathBuf::from(name)).filter(|path| can_run(path));
    }
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| can_run(path))
}

fn can_run(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
