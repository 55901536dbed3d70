//! Parts of documents that are made from code.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Problem;
use crate::steps::say;

/// A part of a document, between two lines that mark it.
pub(super) struct Part {
    /// The document, from the root.
    pub(super) file: &'static str,
    /// What the part is, in words.
    pub(super) what: &'static str,
    /// The line before it.
    pub(super) begin: &'static str,
    /// The line after it.
    pub(super) end: &'static str,
}

impl Part {
    /// Writes the part, or says that it is due.
    ///
    /// # Errors
    /// If the document cannot be read or written.
    pub(super) fn refresh(&self, root: &Path, check: bool, content: &str) -> Result<Option<Problem>> {
        let file = root.join(self.file);
        let old = fs::read_to_string(&file).with_context(|| format!("cannot read {}", self.file))?;
        let problem = |what: String| Ok(Some(Problem::new(Path::new(self.file), None, what)));
        let Some(new) = self.with(&old, content) else {
            return problem(format!("the lines {} and {} are missing", self.begin, self.end));
        };
        if new == old {
            return Ok(None);
        }
        if check {
            return problem(format!("{} is out of date: run `cargo xtask tidy`", self.what));
        }
        fs::write(&file, new).with_context(|| format!("cannot write {}", self.file))?;
        say(format_args!("tidy: wrote {} in {}", self.what, self.file));
        Ok(None)
    }

    /// The text with this between the markers; `None` without them.
    fn with(&self, text: &str, content: &str) -> Option<String> {
        let (before, rest) = text.split_once(self.begin)?;
        let (_, after) = rest.split_once(self.end)?;
        Some([before, self.begin, "\n", content, self.end, after].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_content_takes_the_place_of_the_old() {
        let part = Part { file: "a.md", what: "it", begin: "<!-- it -->", end: "<!-- /it -->" };
        let text = "a\n<!-- it -->\nold\n<!-- /it -->\nb\n";
        assert_eq!(part.with(text, "new\n").as_deref(), Some("a\n<!-- it -->\nnew\n<!-- /it -->\nb\n"));
        assert_eq!(part.with("no markers", "new\n"), None);
    }
}
