//! A real SMTP server on loopback, with the parser and state machine of the crate `mailin`. It can be started late, and
//! told what to answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use mailin::response::{self, Response};
use mailin::{Action, Handler, SessionBuilder};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What arrived, and when who was refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailbox(Arc<Mutex<Letters>>);

#[derive(Debug, Default)]
struct Letters {
    arrived: Vec<Letter>,
    refused: Vec<(String, Instant)>,
}

/// A mail that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Letter {
    pub(crate) fn message_id(&self) -> &str {
        self.text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("every mail has one")
    }
}

impl Mailbox {
    pub(crate) fn arrived(&self) -> Vec<Letter> {
        self.0.lock().unwrap().arrived.clone()
    }

    /// When this address was refused.
    pub(crate) fn refused(&self, to: &str) -> Vec<Instant> {
        self.0.lock().unwrap().refused.iter().filter(|(who, _)| who == to).map(|(_, at)| *at).collect()
    }
}

/// Serves until it is dropped. Who writes to `busy@…` is told to try later, to `nobody@…` that there is no such box.
pub(crate) struct Server {
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, mailbox: Mailbox) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.expect("accepts");
                tokio::spawn(converse(stream, peer.ip(), mailbox.clone()));
            }
        });
        Self { accepting }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(stream: TcpStream, peer: IpAddr, mailbox: Mailbox) -> std::io::Result<()> {
    let visitor = Visitor { mailbox, to: String::new(), text: Vec::new() };
    let mut session = SessionBuilder::new("mx.example.org").build(peer, visitor);
    let mut stream = BufReader::new(stream);
    stream.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer = session.process(&line);
        if answer.action != Action::NoReply {
            stream.write_all(&answer.buffer()?).await?;
        }
        if answer.action == Action::Close {
            return Ok(());
        }
    }
}

struct Visitor {
    mailbox: Mailbox,
    to: String,
    text: Vec<u8>,
}

impl Handler for Visitor {
    fn rcpt(&mut self, to: &str) -> Response {
        let refusal = match to.split('@').next() {
            Some("busy") => Response::custom(451, "4.3.0 greylisted, try later".to_owned()),
            Some("nobody") => Response::custom(550, "5.1.1 no such mailbox here".to_owned()),
            _ => {
                to.clone_into(&mut self.to);
                return response::OK;
            }
        };
        self.mailbox.0.lock().unwrap().refused.push((to.to_owned(), Instant::now()));
        refusal
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.text.clear();
        response::OK
    }

    fn data(&mut self, part: &[u8]) -> std::io::Result<()> {
        self.text.extend_from_slice(part);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let letter = Letter { to: self.to.clone(), text: String::from_utf8_lossy(&self.text).into_owned() };
        self.mailbox.0.lock().unwrap().arrived.push(letter);
        response::OK
    }
}
