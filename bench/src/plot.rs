//! Figures as pictures.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::compare::{Outcomes, median};

/// A file, its title, and from which group's comparisons it is made, by a part of their titles.
type Plot = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const PLOTS: [Plot; 2] = [
    (
        "throughput.svg",
        "Receive, handle, acknowledge: messages a second, 200 B",
        &[
            ("amqp", "classic queue, 200 B: receive"),
            ("amqp", "quorum queue, 200 B: receive"),
            ("redis", "file, 200 B: receive"),
        ],
    ),
    (
        "prefetch.svg",
        "A worker with a concurrency of 1, by prefetch: messages a second, 200 B",
        &[("advice", "classic: prefetch"), ("advice", "quorum: prefetch"), ("advice", "Redis: prefetch")],
    ),
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 80.0;
const BAR: f64 = 18.0;
const STEP: f64 = 23.0;
/// Told apart by people who see colours differently as well.
const COLOURS: [&str; 5] = ["#0072b2", "#56b4e9", "#e69f00", "#999999", "#cc79a7"];

/// Where figures are, and where pictures go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder with the figures of comparisons
    #[arg(long)]
    from: PathBuf,
    /// The folder for the pictures
    #[arg(long)]
    to: PathBuf,
}

/// Draws the pictures.
///
/// # Errors
/// If figures are missing.
pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.to)?;
    for (file, title, parts) in PLOTS {
        let mut groups = Vec::new();
        for (group, part) in parts {
            let outcomes = read(&args.from, group)?;
            let found = outcomes.into_iter().find(|outcomes| outcomes.title.contains(part));
            let outcomes = found.with_context(|| format!("there are no figures of {part:?}; compare {group} first"))?;
            groups.push(outcomes);
        }
        fs::write(args.to.join(file), bars(title, &groups)?).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(())
}

fn read(from: &Path, group: &str) -> Result<Vec<Outcomes>> {
    let text = fs::read_to_string(from.join(format!("{group}.json")));
    let text = text.with_context(|| format!("there are no figures of {group}; compare it first"))?;
    serde_json::from_str(&text).context("cannot read the figures")
}

/// Bars for the median of each side, below each other, and a line from the least to the greatest.
fn bars(title: &str, groups: &[Outcomes]) -> Result<String> {
    let rates = |outcomes: &Outcomes| -> Vec<(String, Vec<f64>)> {
        let sides = outcomes.sides.iter();
        sides
            .map(|(label, _, rounds)| (label.clone(), rounds.iter().map(crate::figures::Figures::rate).collect()))
            .collect()
    };
    let all: Vec<_> = groups.iter().map(|outcomes| (outcomes.title.as_str(), rates(outcomes))).collect();
    let most = all.iter().flat_map(|(_, sides)| sides).flat_map(|(_, rates)| rates).copied().fold(0.0, f64::max);
    ensure!(most > 0.0, "there is nothing to draw");
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / most;
    let mut body = String::new();
    let mut y = 46.0;
    for (name, sides) in &all {
        writeln!(
            body,
            r#"<text x="10" y="{y:.0}" font-weight="bold">{}</text>"#,
            escaped(name.split(':').next().unwrap_or(name))
        )?;
        y += 8.0;
        for (index, (label, rates)) in sides.iter().enumerate() {
            let (middle, text) = (median(rates.iter().copied()), y + 13.0);
            let (least, greatest) = rates.iter().fold((f64::INFINITY, 0.0_f64), |(l, g), r| (l.min(*r), g.max(*r)));
            writeln!(body, r#"<text x="{:.0}" y="{text:.0}" text-anchor="end">{}</text>"#, LEFT - 8.0, escaped(label))?;
            let (width, colour) = (x(middle) - LEFT, COLOURS[index % COLOURS.len()]);
            writeln!(body, r#"<rect x="{LEFT:.0}" y="{y:.0}" width="{width:.1}" height="{BAR:.0}" fill="{colour}"/>"#)?;
            let line = y + BAR / 2.0;
            let (from, to) = (x(least), x(greatest));
            writeln!(body, r##"<path d="M{from:.1} {line:.1}H{to:.1}" stroke="#000" stroke-width="1.5"/>"##)?;
            writeln!(body, r#"<text x="{:.1}" y="{text:.0}">{:.1}k</text>"#, to + 6.0, middle / 1000.0)?;
            y += STEP;
        }
        y += 22.0;
    }
    let head = r#"xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="13""#;
    let height = y - 10.0;
    Ok(format!(
        "<svg {head} viewBox=\"0 0 {WIDTH:.0} {height:.0}\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{0}</text>\n{body}</svg>\n",
        escaped(title)
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn bars_are_as_long_as_what_they_show() {
        let side = |label: &str, messages| {
            (label.to_owned(), false, vec![Figures { messages, seconds: 1.0, ..Figures::default() }])
        };
        let sides = vec![side("half & half", 500), side("all", 1000)];
        let outcomes = Outcomes { title: "a: b".to_owned(), shape: crate::compare::Shape::Throughput, sides };
        let svg = bars("title", &[outcomes]).expect("drawn");
        assert!(svg.contains("half &amp; half") && svg.contains("1.0k"), "{svg}");
        assert!(svg.contains("width=\"225.0\"") && svg.contains("width=\"450.0\""), "{svg}");
    }
}
