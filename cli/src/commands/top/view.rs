//! How it is drawn.

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, Wrap};

use super::model::{Model, Over, QueueRow};
use super::workers::InFlight;

/// Columns of the line of history.
const HISTORY: usize = 30;
const KEYS: &str = "↑↓ choose  p peek  d dead letters  r retry the dead  x purge  q quit";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame, model: &Model) {
    let queues = u16::try_from(model.queues.len()).unwrap_or(u16::MAX).saturating_add(3);
    let [title, top, bottom, note, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Max(queues),
        Constraint::Min(3),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(format!(" swarrot top  {}", model.broker)).bold(), title);
    draw_queues(frame, model, top);
    draw_workers(frame, model, bottom);
    let style = if model.note.starts_with('!') { colour(Color::Red) } else { Style::new() };
    frame.render_widget(Line::styled(format!(" {}", model.note), style), note);
    frame.render_widget(Line::from(format!(" {KEYS}")).dim(), keys);
    draw_over(frame, &model.over);
}

fn draw_queues(frame: &mut Frame, model: &Model, area: Rect) {
    let rows = model.queues.iter().enumerate().map(|(index, queue)| {
        let name = Cell::from(queue.queue.clone());
        queue_row(queue, if index == model.chosen { name.style(Modifier::REVERSED) } else { name })
    });
    let header = ["queue", "ready", "unsettled", "delayed", "dead", "providers", "change/s", "ready, over time"];
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(u16::try_from(HISTORY).unwrap_or(u16::MAX)),
    ];
    let table = Table::new(rows, widths).header(Row::new(header).bold()).block(Block::bordered().title("queues"));
    frame.render_widget(table, area);
}

fn queue_row(queue: &QueueRow, name: Cell<'static>) -> Row<'static> {
    let known = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    if let Some(error) = &queue.error {
        let error = Cell::from(format!("! {error}")).style(colour(Color::Red)).column_span(7);
        return Row::new([name, error]);
    }
    let dead = Cell::from(known(queue.dead));
    let dead = if queue.dead > Some(0) { dead.style(colour(Color::Red)) } else { dead };
    Row::new([
        name,
        Cell::from(queue.ready.to_string()),
        Cell::from(known(queue.unsettled)),
        Cell::from(known(queue.delayed)),
        dead,
        Cell::from(known(queue.providers)),
        Cell::from(format!("{:+.1}", queue.change_per_second)),
        Cell::from(history(queue)).style(colour(Color::Cyan)),
    ])
}

/// The last looks as bars, the newest at the right.
fn history(queue: &QueueRow) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let skipped = queue.history.len().saturating_sub(HISTORY);
    let shown: Vec<u64> = queue.history.iter().skip(skipped).copied().collect();
    let highest = shown.iter().copied().max().unwrap_or(0).max(1);
    // What is not nothing shows at least.
    let height = |n: &u64| (u128::from(*n) * 8).div_ceil(u128::from(highest));
    let bar = |n: &u64| BARS[usize::try_from(height(n)).unwrap_or(8).min(8)];
    let line: String = shown.iter().map(bar).collect();
    format!("{line:>HISTORY$}")
}

fn draw_workers(frame: &mut Frame, model: &Model, area: Rect) {
    let block = Block::bordered().title("in flight");
    if model.workers.is_empty() {
        let text = "name workers that serve their health by --worker to see what they do";
        frame.render_widget(Paragraph::new(text).dim().block(block), area);
        return;
    }
    let rows = model.workers.iter().flat_map(|worker| match worker {
        Ok(messages) => messages.iter().map(message_row).collect(),
        Err(line) => vec![Row::new([Cell::from(format!("! {line}")).style(colour(Color::Red)).column_span(5)])],
    });
    let widths =
        [Constraint::Fill(2), Constraint::Fill(2), Constraint::Fill(3), Constraint::Length(8), Constraint::Length(10)];
    let header = Row::new(["worker", "queue", "message", "attempt", "age"]).bold();
    frame.render_widget(Table::new(rows, widths).header(header).block(block), area);
}

fn message_row(message: &InFlight) -> Row<'static> {
    let InFlight { worker, queue, id, attempt, age_seconds } = message;
    Row::new([worker.clone(), queue.clone(), id.clone(), attempt.to_string(), format!("{age_seconds:.1} s")])
}

fn draw_over(frame: &mut Frame, over: &Over) {
    let (title, text, scroll, percent) = match over {
        Over::Nothing => return,
        Over::Text { title, text, scroll } => (title.as_str(), text.as_str(), *scroll, 80),
        Over::Question { text, .. } => ("sure?", text.as_str(), 0, 20),
    };
    let [area] = Layout::vertical([Constraint::Percentage(percent)]).flex(Flex::Center).areas(frame.area());
    let [area] = Layout::horizontal([Constraint::Percentage(90)]).flex(Flex::Center).areas(area);
    frame.render_widget(Clear, area);
    let paragraph = Paragraph::new(text.replace('\t', "    ")).wrap(Wrap { trim: false }).scroll((scroll, 0));
    frame.render_widget(paragraph.block(Block::bordered().title(title.to_owned())), area);
}

/// A colour, unless `NO_COLOR` is set.
fn colour(colour: Color) -> Style {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain { Style::new() } else { Style::new().fg(colour) }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::commands::top::actions::Action;

    fn screen(model: &Model) -> String {
        let mut terminal = Terminal::new(TestBackend::new(120, 16)).expect("a terminal");
        terminal.draw(|frame| draw(frame, model)).expect("draws");
        terminal.backend().to_string()
    }

    #[test]
    fn queues_workers_and_questions() {
        let mut model = Model::new("amqp://h".to_owned(), vec!["mails".to_owned(), "orders".to_owned()]);
        model.queues[0].ready = 1234;
        model.queues[0].dead = Some(7);
        model.queues[0].history = [1, 2, 8].into();
        model.queues[1].error = Some("it is gone".to_owned());
        let id = "01a".to_owned();
        let message =
            InFlight { worker: "h:1".to_owned(), queue: "mails".to_owned(), id, attempt: 2, age_seconds: 3.21 };
        model.workers = vec![Ok(vec![message]), Err("the worker at h:2 does not answer".to_owned())];
        let text = screen(&model);
        for expected in
            ["amqp://h", "mails", "1234", " 7 ", "▁▂█", "! it is gone", "01a", "3.2 s", "h:2 does not answer", "q quit"]
        {
            assert!(text.contains(expected), "{expected} is missing:\n{text}");
        }
        model.over = Over::Question { text: "Delete it?".to_owned(), action: Action::Purge("q".to_owned()) };
        assert!(screen(&model).contains("Delete it?"));
        model.over = Over::Text { title: "messages".to_owned(), text: "one\ntwo\nthree".to_owned(), scroll: 1 };
        let text = screen(&model);
        assert!(text.contains("messages") && !text.contains("one") && text.contains("two"), "{text}");
    }
}
