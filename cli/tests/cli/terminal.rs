//! The program in a pseudo-terminal, and what it shows there.

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

use crate::support::{Place, until};

/// The program in a pseudo-terminal, and its screen.
pub(crate) struct Terminal {
    pub(crate) child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    pub(crate) fn start(place: &Place, args: &[&str]) -> Self {
        let size = PtySize { rows: 24, cols: 140, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_swarrot"));
        command.args(args);
        command.env("SWARROT_URL", &place.url);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).expect("it starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("its output");
        let keys = pair.master.take_writer().expect("its keys");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 140, 0)));
        let draws = Arc::clone(&screen);
        std::thread::spawn(move || {
            // Held, so that the terminal stays open for as long as it is read.
            let _master = pair.master;
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                draws.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..read]);
            }
        });
        Self { child, keys, screen }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    #[track_caller]
    pub(crate) fn shows(&self, words: &str) {
        let began = std::time::Instant::now();
        while !self.text().contains(words) {
            assert!(began.elapsed().as_secs() < 30, "{words:?} is not on the screen:\n{}", self.text());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until a queue's row has this number in this column, counted from the name.
    #[track_caller]
    pub(crate) fn has(&self, queue: &str, column: usize, number: &str) {
        let began = std::time::Instant::now();
        let has = |text: &str| {
            let rows = text.lines().map(|line| line.trim_start_matches('│').split_whitespace().collect::<Vec<_>>());
            rows.into_iter().any(|row| row.first() == Some(&queue) && row.get(column) == Some(&number))
        };
        while !has(&self.text()) {
            let late = began.elapsed().as_secs() >= 30;
            assert!(!late, "{queue} has no {number} in column {column}:\n{}", self.text());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it takes keys");
    }

    /// Whether it draws in place of what was on the screen before.
    pub(crate) fn is_alternate(&self) -> bool {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().alternate_screen()
    }

    /// Waits for its end.
    pub(crate) fn code(&mut self) -> u32 {
        let mut code = None;
        until("it has ended", || {
            code = self.child.try_wait().expect("it can be waited for");
            code.is_some()
        });
        code.expect("a code").exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
