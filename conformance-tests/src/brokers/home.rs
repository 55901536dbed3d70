//! The folder of a broker, and who has to end what runs there.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::daemon::clear_env;
use super::error::BrokerError;
use super::start::Start;

/// `$1` is the folder, `$2` whether to delete it. A word means that the owner has cleaned up; the end of the pipe
/// without one, that the owner is dead.
const WATCHER: &str = r#"
read -r word && exit 0
for file in "$1"/*.pid; do
    read -r pid started < "$file" || continue
    if [ -n "$started" ]; then
        now=$(sed 's/.*) //' "/proc/$pid/stat" 2> /dev/null | cut -d ' ' -f 20)
        [ "$now" = "$started" ] || continue
    fi
    kill -s KILL -- "-$pid"
done
if [ "$2" = delete ]; then
    rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
fi
"#;

/// The folder of a broker.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    temporary: bool,
    /// There is one as long as the broker ends with this handle.
    watcher: Option<Child>,
}

impl Home {
    /// Makes the folder, and a watcher.
    pub(super) fn make(name: &str, start: &Start) -> Result<Self, BrokerError> {
        let temporary = start.dir.is_none();
        let dir = match &start.dir {
            Some(dir) => fs::create_dir_all(dir).and_then(|()| fs::canonicalize(dir)),
            None => tempfile::Builder::new().prefix(&format!("swarrot-{name}-")).tempdir().map(tempfile::TempDir::keep),
        }
        .map_err(BrokerError::io(format!("make a folder for {name}")))?;
        let mut home = Self { dir, temporary, watcher: None };
        home.watcher = Some(home.watch()?);
        Ok(home)
    }

    /// The folder of a broker that somebody else looks after.
    pub(super) fn attach(dir: &Path) -> Result<Self, BrokerError> {
        let dir = fs::canonicalize(dir).map_err(BrokerError::io(format!("find {}", dir.display())))?;
        Ok(Self { dir, temporary: false, watcher: None })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the broker ends with this handle.
    pub(super) fn is_owner(&self) -> bool {
        self.watcher.is_some()
    }

    /// Leaves folder and broker to others.
    pub(super) fn release(&mut self) {
        self.temporary = false;
        if let Some(mut watcher) = self.watcher.take() {
            if let Some(mut pipe) = watcher.stdin.take() {
                let _ = pipe.write_all(b"done\n");
            }
            let _ = watcher.wait();
        }
    }

    fn watch(&self) -> Result<Child, BrokerError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHER, "sh"]).arg(&self.dir).arg(if self.temporary { "delete" } else { "keep" });
        clear_env(&mut command).process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(BrokerError::io("start the watcher of a broker"))
    }
}

/// Comes after the broker was ended.
impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
        self.release();
    }
}
