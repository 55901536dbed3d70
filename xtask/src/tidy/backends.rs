//! Who knows one backend knows all: each has the same files with the same roles.

use std::path::Path;

use super::Problem;
use crate::workspace::Package;

const FILES: [&str; 8] = ["lib", "config", "connection", "provider", "publisher", "topology", "convert", "error"];

/// Files that a backend lacks; each may be a folder.
pub(super) fn problems(packages: &[Package]) -> Vec<Problem> {
    packages.iter().map(Package::dir).filter(|dir| is_backend(dir)).flat_map(missing).collect()
}

fn is_backend(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("backend-"))
}

fn missing(dir: &Path) -> Vec<Problem> {
    let src = dir.join("src");
    let is_there =
        |name: &str| src.join(name).with_extension("rs").is_file() || src.join(name).join("mod.rs").is_file();
    let name = Path::new(dir.file_name().unwrap_or_default()).join("src");
    let missing = FILES.iter().filter(|file| !is_there(file));
    missing.map(|file| Problem::new(&name.join(file), None, "missing, as a file or folder")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_role_is_a_file_or_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let src = folder.path().join("src");
        fs::create_dir_all(src.join("provider")).expect("a folder");
        for file in ["lib.rs", "config.rs", "connection.rs", "provider/mod.rs", "publisher.rs", "topology.rs"] {
            fs::write(src.join(file), "").expect("a file");
        }
        let missing: Vec<_> = missing(folder.path()).into_iter().map(|problem| problem.file).collect();
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].ends_with("src/convert") && missing[1].ends_with("src/error"), "{missing:?}");
    }
}
