//! Which messages are meant.

use std::str::FromStr;

use swarrot::message::names;
use swarrot::{Message, Value};

/// A condition on a message: `name=value` is equal, `name~text` contains.
///
/// The name is `id`, `type`, `reason`, `source`, `exchange`, `key`, `body`, or that of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    name: String,
    value: String,
    contains: bool,
}

impl FromStr for Filter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.find(['=', '~']).filter(|at| *at > 0).ok_or("a filter is name=value or name~text")?;
        Ok(Self {
            name: text[..at].to_owned(),
            value: text[at + 1..].to_owned(),
            contains: text.as_bytes()[at] == b'~',
        })
    }
}

impl Filter {
    /// Whether it is met.
    pub(crate) fn matches(&self, message: &Message) -> bool {
        let header = |name: &str| message.headers.get(name).map(plain);
        let found = match self.name.as_str() {
            "id" => message.properties.message_id.clone(),
            "type" => message.properties.message_type.clone(),
            "reason" => header(names::REASON),
            "source" => header(names::SOURCE_QUEUE),
            "exchange" => header(names::EXCHANGE),
            "key" => header(names::ROUTING_KEY),
            "body" => Some(String::from_utf8_lossy(&message.body).into_owned()),
            name => header(name),
        };
        found.is_some_and(|found| if self.contains { found.contains(&self.value) } else { found == self.value })
    }
}

/// A header's value as somebody would write it.
fn plain(value: &Value) -> String {
    match super::to_json(value) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let message = Message::new("hello world").id("7").message_type("mail").header("n", 5_i64).header("a", "x=y");
        let yes = ["id=7", "type=mail", "body~o w", "n=5", "a=x=y", "a~=", "type~mai"];
        let no = ["id=8", "type=mai", "body=hello", "n=", "b=", "reason~", "source=q"];
        for (filters, expected) in [(&yes[..], true), (&no[..], false)] {
            for text in filters {
                assert_eq!(text.parse::<Filter>().expect("a filter").matches(&message), expected, "{text}");
            }
        }
        for bad in ["", "id", "=x", "~x"] {
            bad.parse::<Filter>().expect_err(bad);
        }
    }
}
