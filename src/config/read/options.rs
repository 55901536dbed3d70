//! Tables of known keys.

use super::value::{FromValue, Value};

/// Declares a table of known keys: a struct with a field for each, from which the table is read, checked and documented.
///
/// A field of the type `Option<T>` may be missing; `=> "…"` says in words what counts then. Another one must be there,
/// unless `= …` gives its default, as it would stand in the file. Types of fields implement [`FromValue`]; every such struct
/// does.
///
/// ```
/// use std::time::Duration;
/// use swarrot::config::{Size, options};
///
/// options! {
///     /// Writes each message into a file.
///     pub struct Audit {
///         /// The file.
///         path: String,
///         /// Bytes that are kept of each body.
///         keep: Size = "4 KiB",
///         /// How long it may take.
///         limit: Option<Duration> => "as long as it takes",
///     }
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! config_options {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty $(= $default:tt)? $(=> $absent:literal)?),* $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $key: $type,)*
        }

        impl $crate::config::Options for $name {
            const NAME: &'static str = stringify!($name);
        }

        impl $crate::config::FromValue for $name {
            const EXPECTED: &'static str = "a table";
            const KIND: &'static str = "table";

            fn from_value(value: &$crate::config::Value<'_>) -> Option<Self> {
                let table = value.table()?;
                table.check_keys(&[$(stringify!($key)),*]);
                // All are read before the first that is missing counts, so that all mistakes are found.
                $(let $key = $crate::config_options!(@read table, $name, $key, $type $(, $default)?);)*
                Some(Self { $($key: $key?),* })
            }

            fn keys() -> Option<$crate::config::Keys> {
                let about = $crate::config::Keys::of(stringify!($name), &[$($about),+]);
                Some(about$(.key::<$type>(
                    stringify!($key),
                    $crate::config_options!(@default $($default)? $(=> $absent)?),
                    &[$($doc),+],
                ))*)
            }
        }
    };
    (@read $table:ident, $name:ident, $key:ident, $type:ty) => {
        $table.field::<$type>(stringify!($name), stringify!($key))
    };
    (@read $table:ident, $name:ident, $key:ident, $type:ty, $default:tt) => {
        $table.field_or::<$type>(stringify!($name), stringify!($key), stringify!($default))
    };
    (@default) => { None };
    (@default $default:tt) => { Some(stringify!($default)) };
    (@default => $absent:literal) => { Some($absent) };
}

pub use crate::config_options as options;

/// A table of known keys. [`options!`] implements it.
pub trait Options: FromValue + 'static {
    /// Its name in the code.
    const NAME: &'static str;
}

/// The keys of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keys {
    /// The name of the options in the code.
    pub options: &'static str,
    /// What the table is for, in Markdown.
    pub about: String,
    /// Its keys, in the order in which they are documented.
    pub keys: Vec<Key>,
}

impl Keys {
    /// No keys yet.
    #[doc(hidden)]
    pub fn of(options: &'static str, about: &[&str]) -> Self {
        Self { options, about: text(about), keys: Vec::new() }
    }

    /// One more key.
    #[doc(hidden)]
    #[must_use]
    pub fn key<T: Field>(mut self, name: &'static str, default: Option<&'static str>, about: &[&str]) -> Self {
        let default = default.or(if T::REQUIRED { None } else { Some("none") });
        self.keys.push(Key { name, kind: T::kind(), default, about: text(about), within: T::keys() });
        self
    }
}

/// Lines of a comment as one.
fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A key that a table may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What kind of value it has.
    pub kind: String,
    /// What counts where it is missing, in words or as a value; `None` if it must be there.
    pub default: Option<&'static str>,
    /// What it is for, in Markdown.
    pub about: String,
    /// The keys of the table that it is, or of the tables in it.
    pub within: Option<Keys>,
}

/// The value of a key, which may be missing if it is an `Option`.
pub trait Field: Sized {
    /// As [`FromValue::EXPECTED`].
    const EXPECTED: &'static str;
    /// Whether it must be there.
    const REQUIRED: bool;

    /// Reads it. `None` once a mistake is noted.
    fn field(value: Option<&Value<'_>>, missing: impl FnOnce()) -> Option<Self>;

    /// As [`FromValue::kind`].
    fn kind() -> String;

    /// As [`FromValue::keys`].
    fn keys() -> Option<Keys>;
}

impl<T: FromValue> Field for T {
    const EXPECTED: &'static str = T::EXPECTED;
    const REQUIRED: bool = true;

    fn field(value: Option<&Value<'_>>, missing: impl FnOnce()) -> Option<Self> {
        if value.is_none() {
            missing();
        }
        value.and_then(T::from_value)
    }

    fn kind() -> String {
        T::kind()
    }

    fn keys() -> Option<Keys> {
        T::keys()
    }
}

impl<T: FromValue> Field for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const REQUIRED: bool = false;

    fn field(value: Option<&Value<'_>>, _: impl FnOnce()) -> Option<Self> {
        match value {
            Some(value) => T::from_value(value).map(Some),
            None => Some(None),
        }
    }

    fn kind() -> String {
        T::kind()
    }

    fn keys() -> Option<Keys> {
        T::keys()
    }
}
