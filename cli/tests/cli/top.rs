//! `top`, driven in a pseudo-terminal.

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use swarrot::topology::{Queue, Topology};

use crate::support::{Place, on_brokers, until};

on_brokers!(peeks_retries_and_purges, as_json, ends_by_a_signal);

/// Columns, counted from the queue's name.
const READY: usize = 1;
const DEAD: usize = 4;

/// The program in a pseudo-terminal, and its screen.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(place: &Place, args: &[&str]) -> Self {
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
    fn shows(&self, words: &str) {
        let began = std::time::Instant::now();
        while !self.text().contains(words) {
            assert!(began.elapsed().as_secs() < 30, "{words:?} is not on the screen:\n{}", self.text());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until a queue's row has this number in this column, counted from the name.
    #[track_caller]
    fn has(&self, queue: &str, column: usize, number: &str) {
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

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it takes keys");
    }

    /// Waits for its end.
    fn code(&mut self) -> u32 {
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

fn peeks_retries_and_purges(place: &Place) {
    place.publish(&["bad"]);
    place.run(&["work", &place.queue, "--max-messages", "1", "--exec", "false"]).expect_code(3);
    place.ready(&place.name("dead"), 1);
    let other = place.name("other");
    place.declare(Topology::new().queue(Queue::new(&other)));
    for body in ["first", "second"] {
        place.run(&["publish", &other, body]).expect_code(0);
    }
    place.ready(&other, 2);

    let mut terminal = Terminal::start(place, &["top", &place.queue, &other, "--every", "200ms"]);
    terminal.shows("swarrot top");
    terminal.shows(&other);
    // The dead letter is shown, and goes back after a yes.
    terminal.press("d");
    terminal.shows("exit code 1");
    terminal.press("q");
    // While it is looked at, it is in the hands of `top` where a broker cannot show it otherwise.
    terminal.has(&place.queue, DEAD, "1");
    terminal.press("r");
    terminal.shows("Put 1 dead letter back");
    terminal.press("n");
    place.ready(&place.name("dead"), 1);
    terminal.has(&place.queue, DEAD, "1");
    terminal.press("r");
    terminal.shows("Put 1 dead letter back");
    terminal.press("y");
    terminal.shows("retried 1 dead letter");
    place.ready(&place.queue, 1);
    // The other queue: look, then empty it.
    terminal.press("\x1b[B");
    terminal.press("p");
    terminal.shows("second");
    terminal.press("q");
    terminal.has(&other, READY, "2");
    terminal.press("x");
    terminal.shows("Delete 2 messages");
    terminal.press("y");
    terminal.shows("2 messages deleted");
    place.ready(&other, 0);
    terminal.press("q");
    assert_eq!(terminal.code(), 0);
}

fn ends_by_a_signal(place: &Place) {
    let mut terminal = Terminal::start(place, &["top", &place.queue]);
    terminal.shows("swarrot top");
    let pid = terminal.child.process_id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().expect("kill runs").success());
    assert_eq!(terminal.code(), 4);
    // What was on the screen before is there again.
    assert!(!terminal.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().alternate_screen());
}

fn as_json(place: &Place) {
    place.publish(&["a"]);
    place.ready(&place.queue, 1);
    let ran = place.run(&["top", &place.queue, "--json", "--times", "2", "--every", "100ms"]).expect_code(0);
    let looks = ran.lines();
    assert_eq!(looks.len(), 2);
    assert_eq!(looks[1]["queues"][0]["ready"], 1);
    place.run(&["top", &place.queue]).expect_line(2, &["terminal", "--json"]);
    place.run(&["top", "nowhere", "--json"]).expect_line(1, &["nowhere"]);
    let ran = place.run(&["top", &place.queue, "--json", "--times", "1", "--worker", "127.0.0.1:1"]).expect_code(0);
    assert!(ran.json()["errors"][0].as_str().is_some_and(|line| line.contains("127.0.0.1:1")), "{ran:?}");
}
