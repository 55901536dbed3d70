//! What must not stand in a file.

use super::Problem;
use super::sources::Source;

/// Places of one machine, each between slashes.
const PLACES: [&str; 4] = ["home", "root", "Users", "work"];
/// How an attribute that silences a lint begins, inner or outer.
const SILENCERS: [&str; 2] = ["#[", "#!["];

/// Unfinished code, lints silenced without a reason, and paths of somebody's machine.
pub(super) fn problems(sources: &[Source]) -> Vec<Problem> {
    sources.iter().flat_map(of_one).collect()
}

fn of_one(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |line, what: String| problems.push(Problem::new(&source.path, Some(line), what));
    for (index, line) in source.text.lines().enumerate() {
        if let Some(place) = PLACES.iter().find(|place| names_place(line, place)) {
            report(index + 1, format!("a path of one machine, /{place}/…"));
        }
        if !source.is_rust() {
            continue;
        }
        for unfinished in ["todo", "unimplemented"] {
            if line.contains(&format!("{unfinished}!(")) {
                report(index + 1, format!("{unfinished}! is not finished"));
            }
        }
        if silences(line) && !has_reason(source, index) {
            report(index + 1, "use #[expect(…, reason = \"…\")]".to_owned());
        }
    }
    problems
}

/// Whether a path begins there, and does not merely go on.
fn names_place(line: &str, place: &str) -> bool {
    let place = format!("/{place}/");
    line.match_indices(&place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "._-/}*".contains(before))
    })
}

fn silences(line: &str) -> bool {
    let line = line.trim_start();
    SILENCERS.iter().any(|silencer| line.starts_with(&format!("{silencer}allow(")))
}

/// Within the attribute that begins in this line.
fn has_reason(source: &Source, index: usize) -> bool {
    let rest: Vec<&str> = source.text.lines().skip(index).collect();
    let end = rest.iter().position(|line| line.contains(")]")).unwrap_or(0);
    rest[..=end].iter().any(|line| line.split(")]").next().unwrap_or(line).contains("reason = "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.into(), text: text.to_owned() };
        of_one(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn finds_paths_of_a_machine() {
        let path = |place: &str| format!("see `/{place}/me`\n");
        assert_eq!(problems_of("a.md", &path("home")).len(), 1);
        assert_eq!(problems_of("a.md", &path("usr")), [""; 0]);
        assert_eq!(problems_of("a.md", "core/src/work/mod.rs and https://example.org/home/"), [""; 0]);
    }

    #[test]
    fn finds_what_is_not_finished() {
        let text = format!("fn a() {{\n    {}!()\n}}\n", "todo");
        assert_eq!(problems_of("a.rs", &text), ["a.rs:2: todo! is not finished"]);
        assert_eq!(problems_of("a.md", &text), [""; 0]);
    }

    #[test]
    fn finds_lints_silenced_without_a_reason() {
        let bare = format!("#[{}(dead_code)]\nfn a() {{}} // reason = none\n", "allow");
        assert_eq!(problems_of("a.rs", &bare).len(), 1);
        let reasoned = format!("#[{}(\n    dead_code,\n    reason = \"why\"\n)]\nfn a() {{}}\n", "allow");
        assert_eq!(problems_of("a.rs", &reasoned), [""; 0]);
    }
}
