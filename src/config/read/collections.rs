//! Lists, and tables with free keys.

use super::options::Keys;
use super::value::{FromValue, Value};

impl<T: FromValue> FromValue for Vec<T> {
    const EXPECTED: &'static str = "a list";
    const KIND: &'static str = "list";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        // All are read before the first that is wrong counts, so that all mistakes are found.
        let items: Vec<Option<T>> = value.items(Self::EXPECTED)?.map(|item| T::from_value(&item)).collect();
        items.into_iter().collect()
    }

    fn kind() -> String {
        format!("list, each: {}", T::kind())
    }

    fn keys() -> Option<Keys> {
        T::keys()
    }
}

/// A table whose keys are names of the user's, in the order of the file.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T: FromValue> FromValue for Named<T> {
    const EXPECTED: &'static str = "a table";
    const KIND: &'static str = "table";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let read: Vec<_> = value
            .table()?
            .entries()
            .into_iter()
            .map(|(name, value)| T::from_value(&value).map(|inner| (name.to_owned(), inner)))
            .collect();
        read.into_iter().collect::<Option<_>>().map(Self)
    }

    fn kind() -> String {
        format!("table of names, each: {}", T::kind())
    }

    fn keys() -> Option<Keys> {
        T::keys()
    }
}
