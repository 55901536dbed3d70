//! Brokers, and what refers to them.

use swarrot_core::BrokerUrl;

use super::super::read::{FromValue, Table, Value, hint, shown};
use crate::connect::check_scheme;

/// A broker's URL.
#[derive(Clone, Debug)]
pub(in crate::config) struct Address(pub(in crate::config) BrokerUrl);

impl FromValue for Address {
    const EXPECTED: &'static str = "a broker's URL, such as \"amqp://user:password@host/vhost\"";
    const KIND: &'static str = "URL";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        // A URL holds a password: no part of it is ever shown.
        let parse = |text: &str| text.parse::<BrokerUrl>().and_then(|url| check_scheme(&url).map(|()| url));
        let parsed = value.parse_text(Self::EXPECTED, |text| Some(parse(text)))?;
        parsed.map(Self).map_err(|error| value.refuse(format!("the URL is not right: {}", error.message()))).ok()
    }
}

/// The name of a broker of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct BrokerName(pub(in crate::config) String);

/// The only broker there is, for a table that names none; `None` for one that does, or once a mistake is noted.
pub(super) fn only(table: &Table<'_>) -> Option<String> {
    if table.entry("broker").is_some() {
        return None;
    }
    let value = table.value();
    match value.reading().names.brokers.as_slice() {
        [only] => return Some((*only).to_owned()),
        [] => value.refuse(format!("{} has no broker; add one, as in [brokers] main = \"amqp://host/\"", value.path())),
        several => value.refuse(format!(
            "{} must say which broker; add broker = with one of: {}",
            value.path(),
            several.join(", ")
        )),
    }
    None
}

impl FromValue for BrokerName {
    const EXPECTED: &'static str = "the name of a broker in [brokers]";
    const KIND: &'static str = "name of a broker";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let name = value.parse_text(Self::EXPECTED, |text| Some(text.to_owned()))?;
        is_known(value, &name, value.is_plain()).then_some(Self(name))
    }
}

/// Whether this is the name of a broker; notes a mistake if not.
pub(super) fn is_known(value: &Value<'_>, name: &str, may_be_shown: bool) -> bool {
    let brokers = &value.reading().names.brokers;
    let known = brokers.contains(&name);
    if !known {
        let name_shown = if may_be_shown { shown(name) } else { "by that name".to_owned() };
        let hint =
            if brokers.is_empty() { "; add it to [brokers]".to_owned() } else { hint(name, brokers.iter().copied()) };
        value.refuse(format!("there is no broker {name_shown}{hint}"));
    }
    known
}
