//! How long files are: a file tells one thing.

use std::path::Path;

use super::Problem;
use super::sources::Source;
use crate::workspace::Package;

const LONG: usize = 400;
const TOO_LONG: usize = 600;

/// Files that are longer than allowed; tests may be.
pub(super) fn problems(sources: &[Source]) -> Vec<Problem> {
    let too_long = code(sources).filter(|source| source.lines() > TOO_LONG);
    too_long.map(|source| Problem::new(&source.path, None, format!("{} lines; split it", source.lines()))).collect()
}

/// Files that are allowed, but longer than most should be.
pub(super) fn noteworthy(sources: &[Source]) -> Vec<String> {
    let long = code(sources).filter(|source| (LONG + 1..=TOO_LONG).contains(&source.lines()));
    long.map(|source| format!("{}, {} lines", source.path.display(), source.lines())).collect()
}

/// Prints, for each crate, how long it and its files are.
pub(super) fn print_stats(sources: &[Source], packages: &[Package], root: &Path) {
    println!(
        "{:<22} {:>6} {:>6} {:>7} {:>6} {:>8}  largest file",
        "crate", "lines", "tests", "files", "median", "<= 400"
    );
    for package in packages {
        let dir = package.dir().strip_prefix(root).unwrap_or(package.dir());
        let inner: Vec<_> = packages.iter().map(Package::dir).filter(|other| *other != package.dir()).collect();
        let own = |source: &&Source| {
            let path = root.join(&source.path);
            let elsewhere = inner.iter().any(|other| other.starts_with(package.dir()) && path.starts_with(other));
            source.is_rust() && source.path.starts_with(dir) && !elsewhere
        };
        let tests: usize = sources.iter().filter(own).filter(|source| source.is_test()).map(Source::lines).sum();
        let mut code: Vec<_> = sources.iter().filter(own).filter(|source| !source.is_test()).collect();
        code.sort_by_key(|source| source.lines());
        let (Some(middle), Some(largest)) = (code.get(code.len() / 2), code.last()) else { continue };
        println!(
            "{:<22} {:>6} {:>6} {:>7} {:>6} {:>7}%  {} ({})",
            package.name,
            code.iter().map(|source| source.lines()).sum::<usize>(),
            tests,
            code.len(),
            middle.lines(),
            code.iter().filter(|source| source.lines() <= LONG).count() * 100 / code.len(),
            largest.path.display(),
            largest.lines(),
        );
    }
}

fn code(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.is_rust() && !source.is_test())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, lines: usize) -> Source {
        Source { path: path.into(), text: "//\n".repeat(lines) }
    }

    #[test]
    fn tells_long_from_too_long() {
        let sources = [source("a.rs", 400), source("b.rs", 600), source("c.rs", 601), source("tests/d.rs", 900)];
        let problems = problems(&sources);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].to_string(), "c.rs: 601 lines; split it");
        assert_eq!(noteworthy(&sources), ["b.rs, 600 lines"]);
    }
}
