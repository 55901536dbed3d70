//! Where the messages come from.

use std::io::{self, Read as _};

use swarrot::{Error, ErrorKind, Limits, Outgoing};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::arguments::{Args, Template};
use crate::failure::{Failure, Result};
use crate::message::Document;
use crate::{lines, parse};

/// Items read ahead.
const AHEAD: usize = 1024;

/// A message, or why there is none, and the number of its line from 1.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) line: u64,
    pub(crate) outgoing: Result<Outgoing, Error>,
}

/// Where the messages come from.
#[derive(Debug)]
pub(crate) enum Input {
    /// One, so many times.
    Argument { outgoing: Box<Outgoing>, done: u64, repeat: u64 },
    /// From a thread that reads stdin.
    Stdin(Receiver<Item>),
}

impl Input {
    /// # Errors
    /// If stdin cannot be read.
    pub(crate) fn open(args: &Args, template: Template) -> Result<Self> {
        let body = match template.body.as_deref() {
            None => {
                let (sender, receiver) = mpsc::channel(AHEAD);
                let (repeat, ndjson) = (args.repeat.get(), args.ndjson);
                // A thread of its own, because reading stdin cannot be ended; it ends with the process.
                std::thread::spawn(move || read(io::stdin().lock(), &sender, &template, ndjson, repeat));
                return Ok(Self::Stdin(receiver));
            }
            Some("-") => {
                let mut body = Vec::new();
                let limit = u64::try_from(Limits::default().body).unwrap_or(u64::MAX) + 1;
                io::stdin().lock().take(limit).read_to_end(&mut body).map_err(|error| unreadable(&error))?;
                body
            }
            Some(body) => body.as_bytes().to_vec(),
        };
        let outgoing = Box::new(template.with_body(body));
        Ok(Self::Argument { outgoing, done: 0, repeat: args.repeat.get() })
    }

    /// How many there will be, where that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        match self {
            Self::Argument { repeat, .. } => Some(*repeat),
            Self::Stdin(_) => None,
        }
    }

    /// What is ready, `max` at most, once something is; nothing at the end. Cancel safe.
    pub(crate) async fn next(&mut self, max: usize) -> Vec<Item> {
        match self {
            Self::Argument { outgoing, done, repeat } => {
                let until = repeat.min(&mut done.saturating_add(max.try_into().unwrap_or(u64::MAX))).to_owned();
                let from = std::mem::replace(done, until);
                (from..until).map(|n| Item { line: n + 1, outgoing: Ok((**outgoing).clone()) }).collect()
            }
            Self::Stdin(receiver) => {
                let mut items = Vec::new();
                receiver.recv_many(&mut items, max).await;
                items
            }
        }
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(format!("cannot read stdin: {error}"))
}

/// Reads messages to the end, or until nobody wants them any more.
fn read(input: impl io::Read, items: &Sender<Item>, template: &Template, ndjson: bool, repeat: u64) {
    lines::read(input, |line, text| {
        let (outgoing, times) = match text {
            Ok(text) if ndjson && text.iter().all(u8::is_ascii_whitespace) => return true,
            Ok(text) if ndjson => (document(&text, template).map_err(wrong), repeat),
            Ok(text) => (Ok(template.with_body(text)), repeat),
            Err(why) => (Err(wrong(why)), 1),
        };
        (0..times).all(|_| items.blocking_send(Item { line, outgoing: outgoing.clone() }).is_ok())
    });
}

/// What a line of JSON says goes before what the arguments say.
fn document(line: &[u8], template: &Template) -> Result<Outgoing, String> {
    let document: Document = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let (key, delay) = (document.key.clone(), document.delay.clone());
    let mut message = document.into_message()?;
    let (p, common) = (&mut message.properties, &template.message.properties);
    macro_rules! or_common {
        ($($field:ident),*) => { $( if p.$field.is_none() { p.$field.clone_from(&common.$field); } )* };
    }
    or_common!(message_type, content_type, correlation_id, reply_to, priority, ttl);
    for (name, value) in template.message.headers.iter() {
        if !message.headers.contains(name) {
            message.headers.insert(name, value.clone());
        }
    }
    let outgoing = template.outgoing(key.as_deref().unwrap_or(&template.key), message);
    Ok(match delay {
        Some(delay) => outgoing.delay(parse::duration(&delay)?),
        None => outgoing,
    })
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use swarrot::Message;

    use super::*;

    fn template() -> Template {
        let message = Message::new("").message_type("common").header("h", "common");
        Template { key: "q".to_owned(), message, delay: None, body: None }
    }

    async fn items(text: &'static str, ndjson: bool) -> Vec<Item> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || read(text.as_bytes(), &sender, &template(), ndjson, 1));
        let mut input = Input::Stdin(receiver);
        let mut all = Vec::new();
        loop {
            let items = input.next(2).await;
            if items.is_empty() {
                reading.await.expect("no panic");
                return all;
            }
            all.extend(items);
        }
    }

    #[tokio::test]
    async fn a_message_a_line() {
        let items = items("one\n\nthree\r\nlast", false).await;
        let bodies: Vec<_> = items.iter().map(|i| i.outgoing.as_ref().expect("fine").message.body.clone()).collect();
        assert_eq!(bodies, ["one", "", "three\r", "last"]);
        assert_eq!(items[3].line, 4);
    }

    #[tokio::test]
    async fn an_object_a_line() {
        let text = "{\"body\":\"a\",\"key\":\"k\",\"delay\":\"2s\",\"headers\":{\"h\":1}}\n\nno json\n{\"json\":[1]}\n";
        let items = items(text, true).await;
        let first = items[0].outgoing.as_ref().expect("fine");
        assert_eq!((first.routing_key.as_str(), first.delay), ("k", Some(Duration::from_secs(2))));
        assert_eq!(first.message.headers.get("h"), crate::message::from_json(1.into()).as_ref().ok());
        assert_eq!(first.message.properties.message_type.as_deref(), Some("common"));
        assert_eq!(items[1].line, 3);
        assert!(items[1].outgoing.is_err());
        let last = items[2].outgoing.as_ref().expect("fine");
        assert_eq!((last.routing_key.as_str(), &last.message.body[..]), ("q", &b"[1]"[..]));
    }
}
