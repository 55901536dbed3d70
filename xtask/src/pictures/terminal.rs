//! A program in a pseudo-terminal.

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use vt100::{Parser, Screen};

/// A program in a pseudo-terminal, with what is on its screen.
pub(super) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program in a terminal of so many rows and columns.
    pub(super) fn run(program: &Path, env: &[(&str, String)], args: &[&str], (rows, cols): (u16, u16)) -> Result<Self> {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })?;
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let (mut output, keys) = (pair.master.try_clone_reader()?, pair.master.take_writer()?);
        let screen = Arc::new(Mutex::new(Parser::new(rows, cols, 0)));
        let draws = Arc::clone(&screen);
        let reader = spawn(move || {
            // Held, so that the terminal stays open for as long as it is read.
            let _master = pair.master;
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                draws.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..read]);
            }
        });
        Ok(Self { child, keys, screen, reader: Some(reader) })
    }

    /// What is on the screen once the program has ended well.
    pub(super) fn end(mut self) -> Result<Screen> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the program ended with {status}");
        }
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("the thread that reads the terminal panicked"))?;
        }
        Ok(self.screen())
    }

    /// What is on the screen after this time.
    pub(super) fn screen_after(&mut self, time: Duration) -> Result<Screen> {
        sleep(time);
        if let Some(status) = self.child.try_wait()? {
            bail!("the program ended too early, with {status}");
        }
        Ok(self.screen())
    }

    pub(super) fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush())?)
    }

    fn screen(&self) -> Screen {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().clone()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
