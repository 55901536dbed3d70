//! What a command learns of its message by its environment.

use std::collections::BTreeMap;
use std::env;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use swarrot::{Delivery, Value};
use tokio::process::Command;

use crate::message::to_json;

const HEADER: &str = "SWARROT_HEADER_";
const LEFT_OUT: &str = "SWARROT_LEFT_OUT";
/// All that may be set besides headers, so that what an outer `swarrot work` has set is not taken for this message's.
const NAMES: [&str; 18] = [
    "SWARROT_QUEUE",
    "SWARROT_EXCHANGE",
    "SWARROT_ROUTING_KEY",
    "SWARROT_ATTEMPT",
    "SWARROT_REDELIVERED",
    "SWARROT_DELIVERY_COUNT",
    "SWARROT_MESSAGE_ID",
    "SWARROT_TYPE",
    "SWARROT_CONTENT_TYPE",
    "SWARROT_CONTENT_ENCODING",
    "SWARROT_CORRELATION_ID",
    "SWARROT_REPLY_TO",
    "SWARROT_TIMESTAMP",
    "SWARROT_PRIORITY",
    "SWARROT_APP_ID",
    "SWARROT_HEADERS",
    LEFT_OUT,
    super::pool::MEMBER,
];
/// Bytes of one variable at most: Linux has 128 KiB (`MAX_ARG_STRLEN`), with its name and a zero.
const MAX_VARIABLE: usize = 120 << 10;
/// Bytes of all of them at most: Linux takes a quarter of the stack's limit, 2 MiB, for these and all else.
const MAX_ALL: usize = 1 << 20;

/// Gives a command the variables of its message, and none of another's.
pub(crate) fn set(command: &mut Command, delivery: &Delivery) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with(HEADER) || NAMES.contains(&name)) {
            command.env_remove(name);
        }
    }
    command.envs(variables(delivery));
}

/// The variables of a message.
fn variables(delivery: &Delivery) -> BTreeMap<String, String> {
    let p = &delivery.message().properties;
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let all = [
        Some(delivery.queue().to_owned()),
        Some(delivery.exchange().to_owned()),
        Some(delivery.routing_key().to_owned()),
        Some(delivery.attempt().to_string()),
        Some(u8::from(delivery.redelivered()).to_string()),
        number(delivery.delivery_count().map(u64::from)),
        p.message_id.clone(),
        p.message_type.clone(),
        p.content_type.clone(),
        p.content_encoding.clone(),
        p.correlation_id.clone(),
        p.reply_to.clone(),
        number(p.timestamp),
        number(p.priority.map(u64::from)),
        p.app_id.clone(),
    ];
    let mut variables = Variables::default();
    for (name, value) in NAMES.into_iter().zip(all) {
        if let Some(value) = value {
            variables.add(name, name.to_owned(), value);
        }
    }
    for (name, value) in delivery.headers().iter() {
        variables.add_header(name, value);
    }
    let json: serde_json::Map<_, _> =
        delivery.headers().iter().map(|(name, value)| (name.to_owned(), to_json(value))).collect();
    variables.add("SWARROT_HEADERS", "SWARROT_HEADERS".to_owned(), serde_json::Value::Object(json).to_string());
    variables.finish()
}

#[derive(Debug, Default)]
struct Variables {
    set: BTreeMap<String, String>,
    left_out: Vec<String>,
    size: usize,
}

impl Variables {
    /// Sets a variable, or notes that it does not fit or is set already.
    fn add(&mut self, of: &str, name: String, value: String) {
        let size = name.len() + value.len() + 2;
        let fits = !value.contains('\0') && size <= MAX_VARIABLE && self.size + size <= MAX_ALL;
        if !fits || self.set.contains_key(&name) {
            self.left_out.push(of.to_owned());
            return;
        }
        self.size += size;
        self.set.insert(name, value);
    }

    fn add_header(&mut self, name: &str, value: &Value) {
        let mut variable =
            format!("{HEADER}{}", name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let text = match value {
            Value::String(text) if text.contains('\0') => {
                variable.push_str("_BASE64");
                STANDARD.encode(text)
            }
            Value::String(text) => text.clone(),
            Value::Bytes(bytes) => {
                variable.push_str("_BASE64");
                STANDARD.encode(bytes)
            }
            Value::Timestamp(seconds) => seconds.to_string(),
            other => to_json(other).to_string(),
        };
        self.add(name, variable, text);
    }

    fn finish(mut self) -> BTreeMap<String, String> {
        if !self.left_out.is_empty() {
            let mut names = self.left_out.join(",").replace('\0', "");
            let mut end = names.len().min(8 << 10);
            while !names.is_char_boundary(end) {
                end -= 1;
            }
            names.truncate(end);
            self.set.insert(LEFT_OUT.to_owned(), names);
        }
        self.set
    }
}

#[cfg(test)]
mod tests {
    use swarrot::{Message, Receipt};

    use super::*;

    fn of(message: Message) -> BTreeMap<String, String> {
        variables(
            &Delivery::new("q", Receipt::new(1, 1), message).routed("events", "user.new").delivered(true, Some(2)),
        )
    }

    #[test]
    fn where_it_came_from_and_what_it_is() {
        let set = of(Message::new("b").id("7").message_type("mail").priority(3));
        for (name, value) in [
            ("SWARROT_QUEUE", "q"),
            ("SWARROT_EXCHANGE", "events"),
            ("SWARROT_ROUTING_KEY", "user.new"),
            ("SWARROT_ATTEMPT", "1"),
            ("SWARROT_REDELIVERED", "1"),
            ("SWARROT_DELIVERY_COUNT", "2"),
            ("SWARROT_MESSAGE_ID", "7"),
            ("SWARROT_TYPE", "mail"),
            ("SWARROT_PRIORITY", "3"),
            ("SWARROT_HEADERS", "{}"),
        ] {
            assert_eq!(set.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!set.contains_key("SWARROT_CONTENT_TYPE") && !set.contains_key(LEFT_OUT));
        assert!(set.keys().all(|name| NAMES.contains(&name.as_str())));
    }

    #[test]
    fn headers_of_any_kind() {
        let set = of(Message::new("")
            .header("user-id", 5_i64)
            .header("LD_PRELOAD", "x")
            .header("raw", Value::Bytes(vec![0, 255].into()))
            .header("zero", "a\0b")
            .header("list", Value::List(vec![Value::Int(1), Value::from("x")]))
            .header("at", Value::Timestamp(9)));
        assert_eq!(set["SWARROT_HEADER_USER_ID"], "5");
        assert_eq!(set["SWARROT_HEADER_LD_PRELOAD"], "x");
        assert_eq!(set["SWARROT_HEADER_RAW_BASE64"], "AP8=");
        assert_eq!(set["SWARROT_HEADER_ZERO_BASE64"], "YQBi");
        assert_eq!(set["SWARROT_HEADER_LIST"], r#"[1,"x"]"#);
        assert_eq!(set["SWARROT_HEADER_AT"], "9");
        assert!(set["SWARROT_HEADERS"].contains(r#""user-id":5"#));
        assert!(set.values().all(|value| !value.contains('\0')));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let set = of(Message::new("").id("a\0b").header("a-b", 1_i64).header("a_b", 2_i64));
        assert_eq!(set[LEFT_OUT], "SWARROT_MESSAGE_ID,a_b");
        assert_eq!(set["SWARROT_HEADER_A_B"], "1");
        let huge = (0..30).fold(Message::new(""), |m, i| m.header(format!("h{i:02}"), "x".repeat(100 << 10)));
        let set = of(huge);
        let size: usize = set.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        assert!(size < MAX_ALL + (16 << 10), "{size}");
        assert!(set.values().all(|value| value.len() < MAX_VARIABLE));
        assert!(set[LEFT_OUT].ends_with("h29,SWARROT_HEADERS"), "{}", set[LEFT_OUT]);
    }
}
