//! A value of a file.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::options::Keys;
use super::source::Reading;
use super::table::Table;
use super::variables::Text;

/// What can be read from a value of a file.
pub trait FromValue: Sized {
    /// What it is in words, as in: `"limit" must be a duration such as "30s"`.
    const EXPECTED: &'static str;

    /// What it is in short, for the documentation.
    const KIND: &'static str;

    /// Reads it; `None` once a mistake is noted, by [`Value::refuse`].
    fn from_value(value: &Value<'_>) -> Option<Self>;

    /// As [`KIND`](Self::KIND), with the kind of what is in it.
    fn kind() -> String {
        Self::KIND.to_owned()
    }

    /// The keys within it, where it is a table.
    fn keys() -> Option<Keys> {
        None
    }
}

/// A value of a file, with its place.
#[derive(Clone)]
pub struct Value<'a> {
    reading: &'a Reading<'a>,
    node: &'a DeValue<'a>,
    at: Range<usize>,
    /// Its key, or that of the list it is in.
    name: &'a str,
    /// The keys that lead to it, as they would stand in a header.
    path: String,
    /// A key of this table that was taken out.
    hidden: Option<&'static str>,
}

impl<'a> Value<'a> {
    /// The whole file.
    pub(in crate::config) fn root(reading: &'a Reading<'a>, node: &'a DeValue<'a>) -> Self {
        Self { reading, node, at: 0..0, name: "", path: String::new(), hidden: None }
    }

    /// The value of a key in this table.
    pub(super) fn under(&self, key: &'a str, node: &'a Spanned<DeValue<'a>>) -> Self {
        let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let name = if is_bare { key.to_owned() } else { shown(key) };
        let path = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
        Self { reading: self.reading, node: node.get_ref(), at: node.span(), name: key, path, hidden: None }
    }

    /// The same value, whose mistakes are shown at this place.
    pub(super) fn shown_at(mut self, at: Range<usize>) -> Self {
        self.at = at;
        self
    }

    /// The same table without this key, which was read already.
    pub(in crate::config) fn without(mut self, key: &'static str) -> Self {
        self.hidden = Some(key);
        self
    }

    pub(super) fn hidden(&self) -> Option<&'static str> {
        self.hidden
    }

    /// The keys that lead to it, such as `workers.mails.deadline`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where mistakes of it are shown.
    pub(in crate::config) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// Where it is from, if it is told beside the file.
    fn origin(&self) -> Option<&'a str> {
        self.reading.source.origin(&self.at)
    }

    pub(in crate::config) fn reading(&self) -> &'a Reading<'a> {
        self.reading
    }

    pub(in crate::config) fn node(&self) -> &'a DeValue<'a> {
        self.node
    }

    /// Its key, or that of the list it is in.
    pub(in crate::config) fn name(&self) -> &'a str {
        self.name
    }

    /// Whether it may be shown: what is from a variable may be a secret.
    pub(in crate::config) fn is_plain(&self) -> bool {
        !matches!(self.node, DeValue::String(text) if text.contains('$'))
    }

    /// Notes a mistake: what is wrong and what to do, in one line without a full stop.
    pub fn refuse(&self, message: impl Into<String>) {
        self.reading.refuse(self.at(), message);
    }

    /// Notes that it is not what it must be.
    pub fn refuse_as(&self, expected: &str) {
        let name = self.origin().map_or_else(|| shown(self.name), str::to_owned);
        self.refuse(format!("{name} must be {expected}, not {}", self.found()));
    }

    /// What is there, in words. What is from a variable, or may hold a credential, is not shown.
    fn found(&self) -> String {
        match self.node {
            DeValue::String(text) if text.contains('$') => format!("what {} stands for", shown(text)),
            DeValue::String(text) => shown(text),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(is) => is.to_string(),
            DeValue::Datetime(_) => "a date or time".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// As a text with its variables replaced; `None` if it is something else, or once a mistake in it is noted.
    fn expanded(&self) -> Option<Text> {
        let DeValue::String(text) = self.node else { return None };
        self.reading.variables.expand(text).map_err(|message| self.refuse(message)).ok()
    }

    /// Reads a text, its variables replaced, by this function; notes that it must be what is `expected` where that answers
    /// `None`, and for anything but a text.
    pub fn parse_text<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if !matches!(self.node, DeValue::String(_)) {
            self.refuse_as(expected);
            return None;
        }
        let parsed = parse(&self.expanded()?.text);
        if parsed.is_none() {
            self.refuse_as(expected);
        }
        parsed
    }

    /// One of a few words, of which `true` and `false` may stand there without quotes.
    pub(in crate::config) fn word<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match self.node {
            DeValue::Boolean(is) => self.or_refuse(parse(if *is { "true" } else { "false" }), expected),
            _ => self.parse_text(expected, parse),
        }
    }

    /// A whole number; a text counts only for what its variables stand for.
    pub(in crate::config) fn integer<T: TryFrom<i128>>(&self, expected: &str) -> Option<T> {
        let number = match self.node {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => self.by_variable()?.and_then(|text| text.trim().parse().ok()),
        };
        self.or_refuse(number.and_then(|number| T::try_from(number).ok()), expected)
    }

    /// A number with a fraction; a text counts only for what its variables stand for.
    pub(in crate::config) fn float(&self, expected: &str) -> Option<f64> {
        let number = match self.node {
            DeValue::Integer(number) =>
            {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a number that large is rounded, as it would be with a dot"
                )]
                i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => self.by_variable()?.and_then(|text| text.trim().parse().ok()),
        };
        self.or_refuse(number.filter(|number| number.is_finite()), expected)
    }

    /// True or false; a text counts only for what its variables stand for.
    pub(super) fn boolean(&self, expected: &str) -> Option<bool> {
        let is = match self.node {
            DeValue::Boolean(is) => Some(*is),
            _ => self.by_variable()?.and_then(|text| text.trim().parse().ok()),
        };
        self.or_refuse(is, expected)
    }

    /// What the variables of a text stand for, or what a text beside the file says; `Some(None)` if it is another text or none,
    /// `None` once a mistake is noted.
    #[expect(clippy::option_option, reason = "three cases, told apart only here")]
    fn by_variable(&self) -> Option<Option<String>> {
        if !matches!(self.node, DeValue::String(_)) {
            return Some(None);
        }
        let is_beside = self.origin().is_some();
        self.expanded().map(|text| (text.has_variable || is_beside).then_some(text.text))
    }

    fn or_refuse<T>(&self, read: Option<T>, expected: &str) -> Option<T> {
        if read.is_none() {
            self.refuse_as(expected);
        }
        read
    }

    /// Its keys and values; notes a mistake if it is no table.
    pub fn table(&self) -> Option<Table<'a>> {
        self.or_refuse(self.as_table(), "a table")
    }

    /// Its keys and values, if it is a table.
    pub fn as_table(&self) -> Option<Table<'a>> {
        match self.node {
            DeValue::Table(entries) => Some(Table::new(self.clone(), entries)),
            _ => None,
        }
    }

    /// Its items; notes a mistake if it is no list.
    pub(super) fn items(&self, expected: &str) -> Option<impl Iterator<Item = Value<'a>> + use<'a>> {
        let DeValue::Array(items) = self.node else {
            self.refuse_as(expected);
            return None;
        };
        let list = self.clone();
        Some(items.iter().map(move |item| Value { node: item.get_ref(), at: item.span(), ..list.clone() }))
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.path)
    }
}

/// A text in quotes, short, and hidden if it may hold a credential.
pub(in crate::config) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    if text.contains('@') || text.contains("://") {
        return "a text that is not shown, as it looks like a URL".to_owned();
    }
    if text.chars().count() > MOST {
        let start: String = text.chars().take(MOST).collect();
        return format!("{:?}", start + "…");
    }
    format!("{text:?}")
}
