//! A signal ends what waits, with a code of its own.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use crate::support::{Place, Running, on_brokers, program, until};
use crate::terminal::Terminal;

on_brokers!(at_a_question);

/// Waits until the program listens for SIGTERM, which would kill it before.
fn listens(running: &Running) {
    let status = format!("/proc/{}/status", running.child.id());
    until("it listens for signals", || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(caught.trim(), 16).is_ok_and(|caught| caught & (1 << 14) != 0)
    });
}

fn start(args: &[&str]) -> Running {
    let mut command = program();
    command.args(args).stdin(Stdio::null());
    Running::start(command)
}

/// A server that takes connections and never says a word.
#[test]
fn while_it_connects() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address");
    for scheme in ["amqp", "redis"] {
        let url = format!("{scheme}://guest:hunter2@{address}/");
        for command in [&["count", "q"][..], &["work", "q", "--exec", "true"]] {
            let running = start(&[&command[..1], &["--url", &url], &command[1..]].concat());
            let _connection = silent.accept().expect("it connects");
            running.signal("TERM");
            running.end().expect_line(4, &["stopped by a signal"]);
        }
    }
}

#[test]
fn while_it_measures() {
    let running = start(&["bench", "memory://", "--messages", "10", "--time", "60s"]);
    listens(&running);
    running.signal("TERM");
    running.end().expect_line(4, &["stopped by a signal"]);
}

fn at_a_question(place: &Place) {
    place.publish(&["stays"]);
    place.ready(&place.queue, 1);
    for command in ["purge", "delete"] {
        let mut terminal = Terminal::start(place, &[command, &place.queue]);
        terminal.shows("[y/N]");
        // Ctrl-C.
        terminal.press("\x03");
        assert_eq!(terminal.code(), 4, "{command}");
    }
    let mut terminal = Terminal::start(place, &["purge", &place.queue]);
    terminal.shows("[y/N]");
    terminal.press("n\r");
    assert_eq!(terminal.code(), 1);
    place.ready(&place.queue, 1);
    let mut terminal = Terminal::start(place, &["purge", &place.queue]);
    terminal.shows("[y/N]");
    terminal.press("y\r");
    assert_eq!(terminal.code(), 0);
    place.ready(&place.queue, 0);
}
