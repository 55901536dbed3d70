//! What keys mean.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::actions::Action;
use super::model::{Model, Over, QueueRow};
use crate::output::count;

/// What a key came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    Nothing,
    Quit,
    Do(Action),
}

/// Takes a key.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> Pressed {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Pressed::Quit;
    }
    match &mut model.over {
        Over::Nothing => on_tables(model, key.code),
        Over::Question { action, .. } => {
            let action = (key.code == KeyCode::Char('y')).then(|| action.clone());
            model.over = Over::Nothing;
            action.map_or(Pressed::Nothing, Pressed::Do)
        }
        Over::Text { scroll, .. } => {
            match key.code {
                KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
                KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
                KeyCode::PageDown | KeyCode::Char(' ') => *scroll = scroll.saturating_add(10),
                KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
                _ => model.over = Over::Nothing,
            }
            Pressed::Nothing
        }
    }
}

fn on_tables(model: &mut Model, key: KeyCode) -> Pressed {
    let ask = |model: &mut Model, text: String, action: Action| {
        model.over = Over::Question { text, action };
        Pressed::Nothing
    };
    if matches!(key, KeyCode::Char('q') | KeyCode::Esc) {
        return Pressed::Quit;
    }
    let Some(QueueRow { queue, ready, dead, .. }) = model.queue() else { return Pressed::Nothing };
    let (queue, ready, dead) = (queue.clone(), *ready, dead.unwrap_or(0));
    match key {
        KeyCode::Down | KeyCode::Char('j') => {
            model.chosen = (model.chosen + 1).min(model.queues.len().saturating_sub(1));
            Pressed::Nothing
        }
        KeyCode::Up | KeyCode::Char('k') => {
            model.chosen = model.chosen.saturating_sub(1);
            Pressed::Nothing
        }
        KeyCode::Char('p') => Pressed::Do(Action::Peek(queue)),
        KeyCode::Char('d') => Pressed::Do(Action::PeekDead(queue)),
        KeyCode::Char('r') if dead > 0 => {
            let text = format!("Put {} back into {queue}? [y/n]", count(dead, "dead letter"));
            ask(model, text, Action::RetryDead(queue))
        }
        KeyCode::Char('x') if ready > 0 => {
            let text = format!("Delete {} of {queue}? They are lost then. [y/n]", count(ready, "message"));
            ask(model, text, Action::Purge(queue))
        }
        _ => Pressed::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press_all(model: &mut Model, keys: &str) -> Vec<Pressed> {
        keys.chars().map(|c| press(model, KeyCode::Char(c).into())).collect()
    }

    #[test]
    fn what_is_lost_is_asked_for() {
        let mut model = Model::new(String::new(), vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(press_all(&mut model, "x"), [Pressed::Nothing], "there is nothing to lose");
        assert_eq!(model.over, Over::Nothing);
        model.queues[1].ready = 2;
        assert_eq!(press_all(&mut model, "jxn"), [Pressed::Nothing, Pressed::Nothing, Pressed::Nothing]);
        assert_eq!(model.over, Over::Nothing);
        let pressed = press_all(&mut model, "xy");
        assert_eq!(pressed[1], Pressed::Do(Action::Purge("b".to_owned())));
    }

    #[test]
    fn it_ends_without_any_queue() {
        let mut model = Model::new(String::new(), Vec::new());
        assert_eq!(press_all(&mut model, "jpq"), [Pressed::Nothing, Pressed::Nothing, Pressed::Quit]);
        assert_eq!(press(&mut model, KeyCode::Esc.into()), Pressed::Quit);
    }

    #[test]
    fn texts_are_left_by_any_key() {
        let mut model = Model::new(String::new(), vec!["a".to_owned()]);
        model.over = Over::Text { title: String::new(), text: String::new(), scroll: 0 };
        press_all(&mut model, "jj");
        assert!(matches!(model.over, Over::Text { scroll: 2, .. }));
        assert_eq!(press_all(&mut model, "qq"), [Pressed::Nothing, Pressed::Quit]);
    }
}
