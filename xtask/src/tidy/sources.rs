//! The text files of the repository.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const EXTENSIONS: [&str; 6] = ["rs", "toml", "md", "yml", "sh", "json"];
/// Built, or not ours.
const SKIPPED: [&str; 4] = ["target", ".git", ".brokers", "node_modules"];

/// A text file, by its path within the repository.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn is_rust(&self) -> bool {
        self.path.extension() == Some(OsStr::new("rs"))
    }

    /// Whether it holds nothing but tests.
    pub(super) fn is_test(&self) -> bool {
        let stem = self.path.file_stem().is_some_and(|stem| stem == "tests");
        stem || self.path.components().any(|part| part.as_os_str() == "tests")
    }

    pub(super) fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

/// All text files, in the order of their paths.
///
/// # Errors
/// If one cannot be read.
pub(super) fn all(root: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<Source>) -> Result<()> {
    let failed = || format!("cannot read {}", dir.display());
    for entry in fs::read_dir(dir).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().with_context(failed)?;
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            walk(root, &path, found)?;
        } else if kind.is_file() && is_text(&path) {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.push(Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text });
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let known = path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
    known || path.ends_with(".ci/run")
}
