//! Figures as pictures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::compare::{Group, Outcomes, median, read};

/// A file, its title, and from which group's comparisons it is made, by a part of their titles.
type Plot = (&'static str, &'static str, &'static [(Group, &'static str)]);

const PLOTS: [Plot; 2] = [
    (
        "throughput.svg",
        "Receive, handle, acknowledge: messages a second, 200 B",
        &[
            (Group::Amqp, "classic queue, 200 B: receive"),
            (Group::Amqp, "quorum queue, 200 B: receive"),
            (Group::Redis, "file, 200 B: receive"),
        ],
    ),
    (
        "prefetch.svg",
        "A worker with a concurrency of 1, by prefetch: messages a second, 200 B",
        &[
            (Group::Advice, "classic: prefetch"),
            (Group::Advice, "quorum: prefetch"),
            (Group::Advice, "Redis: prefetch"),
        ],
    ),
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 80.0;
const BAR: f64 = 18.0;
const STEP: f64 = 23.0;
/// Told apart by people who see colours differently as well.
const COLOURS: [&str; 5] = ["#0072b2", "#56b4e9", "#e69f00", "#999999", "#cc79a7"];

/// Draws those pictures whose figures are in the folder `from`.
///
/// # Errors
/// If a picture cannot be written.
pub(crate) fn draw(from: &Path, to: &Path) -> Result<()> {
    for (file, title, parts) in PLOTS {
        let found = parts
            .iter()
            .map(|(group, part)| read(from, *group).ok()?.into_iter().find(|outcomes| outcomes.title.contains(part)));
        let Some(groups) = found.collect::<Option<Vec<_>>>() else { continue };
        fs::create_dir_all(to)?;
        fs::write(to.join(file), bars(title, &groups)?).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(())
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
        let (title, shape) = ("a: b".to_owned(), crate::compare::Shape::Throughput);
        let outcomes = Outcomes { title, shape, sides, buts: Vec::new() };
        let svg = bars("title", &[outcomes]).expect("drawn");
        assert!(svg.contains("half &amp; half") && svg.contains("1.0k"), "{svg}");
        assert!(svg.contains("width=\"225.0\"") && svg.contains("width=\"450.0\""), "{svg}");
    }
}
