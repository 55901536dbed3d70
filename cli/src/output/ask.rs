//! Questions before something is lost.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use tokio::sync::oneshot;

use super::note;
use crate::failure::{Failure, Result};
use crate::session::Session;

/// Asks on a terminal whether to go on. Where nobody can be asked, `--yes` must have been given.
///
/// # Errors
/// If the answer is no, nobody can be asked, or a signal comes before the answer.
pub(crate) async fn confirm(yes: bool, question: &str, session: &Session) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!("{question} Add --yes to say so")));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let (sender, answer) = oneshot::channel();
    // A thread of its own, because reading stdin cannot be ended; it ends with the process.
    std::thread::spawn(move || {
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer).map(|_| answer);
        // Nobody waits for it after a signal.
        let _ = sender.send(read);
    });
    let answer = tokio::select! {
        answer = answer => answer.ok(),
        () = session.stop.asked() => {
            // The cursor stands behind the question.
            note("");
            return Err(Failure::signal("stopped by a signal; nothing was done"));
        }
    };
    match answer.transpose().map_err(|error| Failure::new(format!("cannot read the answer: {error}")))? {
        Some(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}
