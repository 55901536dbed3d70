//! A real SMTP server on loopback, with the parser and state machine of the crate `mailin`. It can be started late, and
//! its answers depend on who is written to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailin::response::{self, Response};
use mailin::{Action, Handler, SessionBuilder};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port of a server that is down: it is taken, and whoever connects is refused.
pub(crate) struct Port(TcpSocket);

impl Port {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// Serves until the answer is dropped.
    pub(crate) fn open(self, mailbox: Mailbox) -> Server {
        let listener = self.0.listen(128).expect("it listens");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut visits = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.expect("accepts");
                visits.spawn(converse(stream, peer.ip(), mailbox.clone()));
            }
        });
        Server { _tasks: tasks }
    }
}

pub(crate) struct Server {
    _tasks: JoinSet<()>,
}

/// What the server has seen, and what it answers. By the name before the `@`: `busy` is always told to try later, `nobody`
/// that there is no such box. At the first try, `stuck` never gets an answer to the mail, `slow` gets it [`LATE`], and `full`
/// is told to try later.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    seen: Arc<watch::Sender<Seen>>,
    /// How long it takes to take a mail in.
    pub(crate) pace: Duration,
}

/// How late an answer can be.
pub(crate) const LATE: Duration = Duration::from_millis(1500);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) arrived: Vec<Letter>,
    /// Who was written to, and when.
    tries: Vec<(String, Instant)>,
    /// How many senders will be asked for credentials.
    ask_for_credentials: usize,
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

impl Seen {
    /// When this address was written to.
    pub(crate) fn tries(&self, to: &str) -> Vec<Instant> {
        self.tries.iter().filter(|(who, _)| who == to).map(|(_, at)| *at).collect()
    }
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self { seen: Arc::new(watch::Sender::new(Seen::default())), pace: Duration::ZERO }
    }

    /// Asks so many senders for credentials, which nobody here has.
    pub(crate) fn ask_for_credentials(&self, senders: usize) {
        self.seen.send_modify(|seen| seen.ask_for_credentials = senders);
    }

    /// Waits until it has seen what the test is about.
    pub(crate) async fn until(&self, what: &str, mut done: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waited = timeout(PATIENCE, seen.wait_for(|seen| done(seen))).await.is_ok();
        assert!(waited, "waited in vain for {what}: {:?}", self.seen.borrow());
    }

    pub(crate) fn arrived(&self) -> Vec<Letter> {
        self.seen.borrow().arrived.clone()
    }

    /// To whom mails have arrived, in order.
    pub(crate) fn receivers(&self) -> Vec<String> {
        self.seen.borrow().arrived.iter().map(|letter| letter.to.clone()).collect()
    }

    pub(crate) fn tries(&self, to: &str) -> Vec<Instant> {
        self.seen.borrow().tries(to)
    }
}

async fn converse(stream: TcpStream, peer: IpAddr, mailbox: Mailbox) -> io::Result<()> {
    let hold = Arc::new(Mutex::new(Duration::ZERO));
    let visitor = Visitor { mailbox, to: String::new(), text: Vec::new(), hold: Arc::clone(&hold) };
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
        let hold = std::mem::take(&mut *hold.lock().unwrap());
        sleep(hold).await;
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
    /// For how long the next answer is held back.
    hold: Arc<Mutex<Duration>>,
}

impl Visitor {
    /// The name before the `@`, and whether it is the first try.
    fn visit(&self) -> (&str, bool) {
        (self.to.split('@').next().unwrap_or_default(), self.mailbox.tries(&self.to).len() == 1)
    }
}

impl Handler for Visitor {
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        let asked = self.mailbox.seen.send_if_modified(|seen| {
            let asked = seen.ask_for_credentials > 0;
            seen.ask_for_credentials -= usize::from(asked);
            asked
        });
        if asked { Response::custom(530, "5.7.0 authentication required".to_owned()) } else { response::OK }
    }

    fn rcpt(&mut self, to: &str) -> Response {
        to.clone_into(&mut self.to);
        self.mailbox.seen.send_modify(|seen| seen.tries.push((to.to_owned(), Instant::now())));
        match self.visit() {
            ("busy", _) => Response::custom(451, "4.3.0 greylisted, try later".to_owned()),
            ("nobody", _) => Response::custom(550, "5.1.1 no such mailbox here".to_owned()),
            _ => response::OK,
        }
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.text.clear();
        response::OK
    }

    fn data(&mut self, part: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(part);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let (hold, taken) = match self.visit() {
            ("full", true) => (Duration::ZERO, false),
            ("stuck", true) => (Duration::MAX, false),
            ("slow", true) => (LATE, true),
            _ => (self.mailbox.pace, true),
        };
        *self.hold.lock().unwrap() = hold;
        if !taken {
            return Response::custom(452, "4.2.2 mailbox full".to_owned());
        }
        let letter = Letter { to: self.to.clone(), text: String::from_utf8_lossy(&self.text).into_owned() };
        self.mailbox.seen.send_modify(|seen| seen.arrived.push(letter));
        response::OK
    }
}
