//! What a comparison found.

use serde_json::{Value as Json, json};
use swarrot::topology::{Comparison, PartState};

use super::file::Source;
use crate::failure::Result;
use crate::output::{count, table};
use crate::session::Session;

/// What a comparison found.
#[derive(Debug)]
pub(super) struct Parts(pub(super) Vec<Comparison>);

impl Parts {
    /// Compares what a file says with what there is, and prints it.
    ///
    /// # Errors
    /// If the file is wrong, or the broker cannot be asked.
    pub(super) async fn show(source: &Source, session: &Session) -> Result<Self> {
        let loaded = source.load()?;
        let broker = loaded.connect(session).await?;
        let parts = Self(broker.compare(&loaded.topology()).await?);
        session.output.print(&parts.json(), || parts.text())?;
        broker.close().await?;
        Ok(parts)
    }

    pub(super) fn missing(&self) -> u64 {
        self.number(|state| *state == PartState::Missing)
    }

    pub(super) fn different(&self) -> u64 {
        self.number(|state| matches!(state, PartState::Different(_)))
    }

    fn unknown(&self) -> u64 {
        self.number(|state| matches!(state, PartState::Unknown(_)))
    }

    fn number(&self, is: impl Fn(&PartState) -> bool) -> u64 {
        u64::try_from(self.0.iter().filter(|part| is(&part.state)).count()).unwrap_or(u64::MAX)
    }

    pub(super) fn json(&self) -> Json {
        let part = |comparison: &Comparison| {
            let (state, details) = words(&comparison.state);
            json!({ "part": comparison.part.to_string(), "state": state, "details": details })
        };
        json!({
            "missing": self.missing(),
            "different": self.different(),
            "unknown": self.unknown(),
            "parts": self.0.iter().map(part).collect::<Json>(),
        })
    }

    /// A table, and a line that sums it up.
    pub(super) fn text(&self) -> String {
        let rows = self.0.iter().map(|comparison| {
            let (state, details) = words(&comparison.state);
            vec![comparison.part.to_string(), state.to_owned(), details.join("; ")]
        });
        let table = table(&["part", "state", ""], rows);
        let summary = match (self.missing(), self.different()) {
            (0, 0) => "nothing to create".to_owned(),
            (missing, 0) => format!("{} to create", count(missing, "part")),
            (missing, different) => format!("{} to create, {different} in conflict", count(missing, "part")),
        };
        let unseen = match self.unknown() {
            0 => String::new(),
            n => format!("; {} cannot be seen, see above", count(n, "part")),
        };
        format!("{table}\n\n{summary}{unseen}")
    }
}

fn words(state: &PartState) -> (&'static str, Vec<String>) {
    match state {
        PartState::Missing => ("missing", Vec::new()),
        PartState::Same => ("there", Vec::new()),
        PartState::Different(differences) => ("different", differences.iter().map(ToString::to_string).collect()),
        PartState::Unknown(why) => ("unknown", vec![why.clone()]),
        _ => ("unknown", Vec::new()),
    }
}
