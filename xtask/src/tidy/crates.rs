//! What every crate has to say in its manifest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Problem;
use crate::workspace::Package;

/// The workspace forbids unsafe code, and every crate takes over its lints.
///
/// # Errors
/// If a manifest cannot be read.
pub(super) fn problems(root: &Path, packages: &[Package]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let manifest = root.join("Cargo.toml");
    if value(&read(&manifest)?, "workspace.lints.rust", "unsafe_code").as_deref() != Some("\"forbid\"") {
        problems.push(Problem::new(Path::new("Cargo.toml"), None, "unsafe_code = \"forbid\" is missing"));
    }
    for package in packages {
        if value(&read(package.manifest())?, "lints", "workspace").as_deref() != Some("true") {
            let path = package.manifest().strip_prefix(root).unwrap_or(package.manifest());
            problems.push(Problem::new(path, None, "[lints] workspace = true is missing"));
        }
    }
    Ok(problems)
}

fn read(manifest: &Path) -> Result<String> {
    fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))
}

/// What a key of a table is set to, in a manifest that spells both out.
fn value(manifest: &str, table: &str, key: &str) -> Option<String> {
    let header = format!("[{table}]");
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != header).skip(1);
    let mut pairs = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_key_of_its_own_table_only() {
        let manifest = "[a]\nkey = 1\n\n[b]\nother = 2\n[c]\nkey = 3\n";
        assert_eq!(value(manifest, "a", "key").as_deref(), Some("1"));
        assert_eq!(value(manifest, "b", "key"), None);
        assert_eq!(value(manifest, "c", "key").as_deref(), Some("3"));
    }
}
