//! A screen as a picture.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// Pixels of a character.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const MARGIN: f32 = 14.0;
/// Pixels of the bar above.
const BAR: f32 = 30.0;
const PAPER: &str = "#1b1f27";
const INK: &str = "#d7dae0";
/// The first eight colours of a terminal, the eight bright ones like them.
const COLOURS: [&str; 8] = ["#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0"];

/// Characters side by side that look alike.
struct Run {
    column: u16,
    text: String,
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Style {
    ink: &'static str,
    bold: bool,
    dim: bool,
    reversed: bool,
}

/// Draws a screen without its empty lines at the end, under a title.
pub(super) fn draw(title: &str, screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let last = (0..rows).rev().find(|row| runs(screen, *row).iter().any(|run| !run.text.trim().is_empty()));
    let rows = last.map_or(1, |last| last + 1);
    let width = f32::from(columns) * WIDTH + 2.0 * MARGIN;
    let height = f32::from(rows) * HEIGHT + BAR + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         role=\"img\" aria-label=\"{}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <text x=\"{:.0}\" y=\"20\" fill=\"#8a919e\" text-anchor=\"middle\">{}</text>\n",
        escape(title),
        width / 2.0,
        escape(title),
    );
    for row in 0..rows {
        let top = BAR + MARGIN + f32::from(row) * HEIGHT;
        for run in runs(screen, row) {
            draw_run(&mut svg, &run, top);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Writing into a string does not fail.
fn draw_run(svg: &mut String, run: &Run, top: f32) {
    let Style { ink, bold, dim, reversed } = run.style;
    let x = MARGIN + f32::from(run.column) * WIDTH;
    let width = WIDTH * f32::from(u16::try_from(run.text.chars().count()).unwrap_or(u16::MAX));
    if reversed {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{ink}\"/>"
        );
    }
    if run.text.trim().is_empty() {
        return;
    }
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let opacity = if dim { " opacity=\"0.6\"" } else { "" };
    let fill = if reversed { PAPER } else { ink };
    let _ = writeln!(
        svg,
        "<text xml:space=\"preserve\" x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" fill=\"{fill}\"{weight}{opacity}>{}</text>",
        top + 13.5,
        escape(&run.text),
    );
}

fn runs(screen: &Screen, row: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..screen.size().1 {
        let Some(cell) = screen.cell(row, column) else { continue };
        let style = style(cell);
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some(run) if run.style == style => run.text.push_str(text),
            _ => runs.push(Run { column, text: text.to_owned(), style }),
        }
    }
    runs
}

fn style(cell: &Cell) -> Style {
    let ink = match cell.fgcolor() {
        Color::Idx(index) if index < 16 => COLOURS[usize::from(index % 8)],
        _ => INK,
    };
    Style { ink, bold: cell.bold(), dim: cell.dim(), reversed: cell.inverse() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_look() {
        let mut parser = vt100::Parser::new(3, 20, 0);
        parser.process(b"a <b> \x1b[1;31mred\x1b[0m\x1b[7m back\x1b[0m");
        let svg = draw("t & t", parser.screen());
        assert!(svg.contains("t &amp; t") && svg.contains("a &lt;b&gt; </text>"), "{svg}");
        assert!(svg.contains("fill=\"#e06c75\" font-weight=\"bold\">red</text>"), "{svg}");
        assert!(svg.contains("<rect x=\"89.6\""), "{svg}");
        assert_eq!(svg.matches("<text").count(), 4, "empty lines are left out: {svg}");
    }
}
