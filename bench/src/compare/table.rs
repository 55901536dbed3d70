//! Figures as tables.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::run::Outcomes;
use crate::figures::Figures;

/// Which figures matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Messages a second, and what they cost both sides.
    Throughput,
    /// The same, of other libraries, where a ratio says how much faster the reference is.
    Peers,
    /// Time and allocations of a message.
    Each,
    /// How late messages are.
    Latency,
    /// How long it takes to begin.
    Startup,
    /// What waiting costs.
    Idle,
}

type Column = (&'static str, fn(&Figures) -> f64, usize);

impl Shape {
    /// Heads, values, and decimals.
    fn columns(self) -> &'static [Column] {
        match self {
            Self::Throughput | Self::Peers => &[
                ("messages/s", Figures::rate, 0),
                ("client µs", |f| f.cpu, 1),
                ("broker µs", |f| f.broker, 1),
                ("switches", |f| f.switches, 2),
                ("MiB", |f| f.rss, 0),
            ],
            Self::Each => &[("ns", Figures::nanoseconds, 0), ("cpu ns", |f| f.cpu * 1e3, 0)],
            Self::Latency => {
                &[("p50 ms", |f| f.latency[0], 2), ("p99 ms", |f| f.latency[1], 2), ("p99.9 ms", |f| f.latency[2], 2)]
            }
            Self::Startup => &[("ms", |f| f.latency[0], 1), ("MiB", |f| f.rss, 0)],
            Self::Idle => &[("cpu µs/s", |f| f.cpu, 0), ("wake-ups/s", |f| f.switches, 1), ("MiB", |f| f.rss, 0)],
        }
    }
}

/// A table in Markdown: the median of each figure, ratios with the least and the greatest of all rounds, and what to know beside.
pub(crate) fn markdown(outcomes: &Outcomes) -> String {
    let columns = outcomes.shape.columns();
    let references: Vec<_> = outcomes.sides.iter().filter(|(_, reference, _)| *reference).collect();
    let mut out = format!("#### {}\n\n|  |", outcomes.title);
    for (head, ..) in columns {
        let _ = write!(out, " {head} |");
    }
    let inverted = outcomes.shape == Shape::Peers;
    for (label, ..) in &references {
        let _ = if inverted { write!(out, " {label} ÷ it |") } else { write!(out, " ÷ {label} |") };
    }
    let buts = outcomes.buts.iter().any(|but| !but.is_empty());
    out.push_str(if buts { " but |" } else { "" });
    let _ = write!(out, "\n|---|{}", "--:|".repeat(columns.len() + references.len()));
    out.push_str(if buts { "---|\n" } else { "\n" });
    for (index, (label, _, rounds)) in outcomes.sides.iter().enumerate() {
        let _ = write!(out, "| {label} |");
        for (_, value, decimals) in columns {
            let _ = write!(out, " {} |", number(median(rounds.iter().map(value)), *decimals));
        }
        for (_, _, others) in &references {
            // In the same round.
            let (_, value, _) = columns[0];
            let ratio = |(one, other): (&Figures, &Figures)| {
                let ratio = value(one) / value(other);
                if inverted { ratio.recip() } else { ratio }
            };
            let ratios: Vec<f64> = rounds.iter().zip(others).map(ratio).collect();
            let (least, greatest) =
                ratios.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), r| (least.min(*r), most.max(*r)));
            let _ = write!(out, " **{:.2}** ({least:.2}–{greatest:.2}) |", median(ratios.into_iter()));
        }
        if buts {
            let _ = write!(out, " {} |", outcomes.buts.get(index).map_or("", String::as_str));
        }
        out.push('\n');
    }
    out
}

/// The one in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// With a comma between thousands.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_peers_says_how_much_faster_the_reference_is() {
        let figures = |messages| vec![Figures { messages, seconds: 1.0, ..Figures::default() }];
        let sides = vec![("ours".to_owned(), true, figures(300)), ("theirs".to_owned(), false, figures(100))];
        let buts = vec![String::new(), "no confirm".to_owned()];
        let table = markdown(&Outcomes { title: "a".to_owned(), shape: Shape::Peers, sides, buts });
        assert!(table.contains("| ours ÷ it | but |\n"), "{table}");
        assert!(table.contains("| **1.00** (1.00–1.00) |  |\n"), "{table}");
        assert!(table.contains("| **3.00** (3.00–3.00) | no confirm |\n"), "{table}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(
            (number(123.0, 0), number(1234.56, 1), number(0.5, 2)),
            ("123".into(), "1,234.6".into(), "0.50".into())
        );
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < f64::EPSILON);
    }
}
