//! Which dead letters are meant.

use crate::message::Filter;
use crate::sweeping::Choice;

/// Which dead letters are meant.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Selection {
    /// The one with this id; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Those for which this holds, such as type=mail, reason~timeout or tenant=7 (a header); may be repeated
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<Filter>,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "filters"])]
    all: bool,
}

impl Selection {
    pub(super) fn choice(&self, max: Option<u64>) -> Choice {
        Choice::by(&self.filters).ids(&self.ids).max(max)
    }

    /// What it means, in words.
    pub(super) fn words(&self) -> &'static str {
        if self.all { "All" } else { "Those that match" }
    }
}
