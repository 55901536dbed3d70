//! What one process did with which message, in a file that only grows.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait to be written; a writer waits when there are more.
const WAITING: usize = 1024;

/// What was done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It is about to be published.
    Sent,
    /// The broker has confirmed it.
    Confirmed,
    /// Its handler has done its work.
    Done,
    /// Its handler failed, and it will be tried again.
    Failed,
    /// Its handler failed for good.
    GaveUp,
    /// Its handler is about to end the process.
    Crashed,
}

const DEEDS: [(Deed, &str); 6] = [
    (Deed::Sent, "sent"),
    (Deed::Confirmed, "confirmed"),
    (Deed::Done, "done"),
    (Deed::Failed, "failed"),
    (Deed::GaveUp, "gave-up"),
    (Deed::Crashed, "crashed"),
];

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, word) = DEEDS.iter().find(|(deed, _)| deed == self).expect("every deed has a word");
        f.write_str(word)
    }
}

impl FromStr for Deed {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let found = DEEDS.iter().find(|(_, known)| *known == word);
        found.map(|(deed, _)| *deed).with_context(|| format!("{word:?} is no deed"))
    }
}

/// The ledger of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(mpsc::Sender<Lines>);

struct Lines {
    text: String,
    on_disk: oneshot::Sender<()>,
}

impl Ledger {
    /// Begins a new one.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        let (sender, receiver) = mpsc::channel(WAITING);
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            if let Err(error) = write(file, receiver) {
                // Nothing that happens from now on would count.
                eprintln!("faults: cannot write the ledger: {error}");
                std::process::abort();
            }
        })?;
        Ok(Self(sender))
    }

    /// Notes a deed for each of these messages; it is on disk on return.
    pub(crate) async fn note(&self, deed: Deed, ids: impl IntoIterator<Item = &str>) {
        let now = now();
        let text = ids.into_iter().fold(String::new(), |text, id| text + &format!("{now} {deed} {id}\n"));
        let (on_disk, written) = oneshot::channel();
        // If the writer is gone, so is this process.
        if self.0.send(Lines { text, on_disk }).await.is_ok() {
            let _ = written.await;
        }
    }
}

/// Writes what waits in one go, so that many notes share the cost of getting them on disk.
fn write(mut file: File, mut lines: mpsc::Receiver<Lines>) -> io::Result<()> {
    while let Some(first) = lines.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(more) = lines.try_recv() {
            batch.push(more);
        }
        let text: String = batch.iter().map(|lines| lines.text.as_str()).collect();
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        for lines in batch {
            // Whoever waited may be gone.
            let _ = lines.on_disk.send(());
        }
    }
    Ok(())
}

/// Milliseconds since 1970: the same clock for all processes.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
