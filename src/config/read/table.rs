//! A table of a file.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::nearest::hint;
use super::options::Field;
use super::value::{FromValue, Value, shown};

/// A table of a file, with its place.
#[derive(Debug)]
pub struct Table<'a> {
    value: Value<'a>,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub(super) fn new(value: Value<'a>, entries: &'a DeTable<'a>) -> Self {
        Self { value, entries }
    }

    /// The table itself, to note mistakes that concern it as a whole.
    pub fn value(&self) -> &Value<'a> {
        &self.value
    }

    /// Notes each key that is not among these.
    pub fn check_keys(&self, known: &[&str]) {
        let is_unknown = |key: &str| !known.contains(&key) && self.value.hidden() != Some(key);
        for key in self.entries.keys().filter(|key| is_unknown(key.get_ref())) {
            let message = format!("unknown key {}{}", shown(key.get_ref()), hint(key.get_ref(), known.iter().copied()));
            self.value.reading().refuse(key.span(), message);
        }
    }

    /// Reads the value of a key; `options` is the name of the table in the code.
    pub fn field<T: Field>(&self, options: &str, key: &str) -> Option<T> {
        let value = self.entry(key);
        if value.is_some() {
            self.value.reading().see(options, key);
        }
        T::field(value.as_ref(), || {
            let place = match self.value.path() {
                "" => String::new(),
                path => format!(" in {path}"),
            };
            self.value.refuse(format!("{key:?} is missing{place}; it is {}", T::EXPECTED));
        })
    }

    /// Reads the value of a key; where it is missing, this text of a value counts.
    ///
    /// # Panics
    /// If that is no TOML.
    pub fn field_or<T: FromValue>(&self, options: &str, key: &str, default: &str) -> Option<T> {
        if self.entries.contains_key(key) {
            return self.field(options, key);
        }
        let default = DeValue::parse(default).expect("a default is a value");
        T::from_value(&self.value.under(key, &default))
    }

    /// The value of a key. Mistakes of a table are shown at its key.
    pub fn entry(&self, key: &str) -> Option<Value<'a>> {
        self.entries.get_key_value(key).map(|(key, value)| self.at_key(key, value))
    }

    /// All keys with their values, in the order of the file. Mistakes of a table are shown at its key.
    pub fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), self.at_key(key, value))).collect()
    }

    /// Notes a mistake at the value of this key; at the table if it is missing.
    pub fn refuse_at(&self, key: &str, message: impl Into<String>) {
        self.entry(key).as_ref().unwrap_or(&self.value).refuse(message);
    }

    fn at_key(&self, key: &'a Spanned<DeString<'a>>, node: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let value = self.value.under(key.get_ref(), node);
        if matches!(node.get_ref(), DeValue::Table(_)) { value.shown_at(key.span()) } else { value }
    }
}
