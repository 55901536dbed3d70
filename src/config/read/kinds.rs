//! Kinds of values: numbers, texts, durations, sizes.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use bytesize::ByteSize;
use swarrot_core::topology::check_name;

use super::value::{FromValue, Value};

macro_rules! whole_numbers {
    ($($type:ty, $read:ty, $kind:literal;)*) => {$(
        impl FromValue for $type {
            const EXPECTED: &'static str = concat!("a ", $kind);
            const KIND: &'static str = $kind;

            fn from_value(value: &Value<'_>) -> Option<Self> {
                value.integer::<$read>(Self::EXPECTED).map(Into::into)
            }
        }
    )*};
}

whole_numbers! {
    u8, u8, "whole number from 0 to 255";
    u16, u16, "whole number from 0 to 65535";
    u32, u32, "whole number from 0 to 4294967295";
    u64, u64, "whole number from 0";
    usize, usize, "whole number from 0";
    NonZeroU16, Positive<NonZeroU16>, "whole number from 1 to 65535";
    NonZeroU32, Positive<NonZeroU32>, "whole number from 1 to 4294967295";
    NonZeroU64, Positive<NonZeroU64>, "whole number from 1";
    NonZeroUsize, Positive<NonZeroUsize>, "whole number from 1";
}

/// A number that is not zero, from one that may be.
struct Positive<T>(T);

macro_rules! positive {
    ($($type:ty, $plain:ty;)*) => {$(
        impl TryFrom<i128> for Positive<$type> {
            type Error = ();

            fn try_from(number: i128) -> Result<Self, ()> {
                <$plain>::try_from(number).ok().and_then(<$type>::new).map(Self).ok_or(())
            }
        }

        impl From<Positive<$type>> for $type {
            fn from(number: Positive<$type>) -> Self {
                number.0
            }
        }
    )*};
}

positive! {
    NonZeroU16, u16;
    NonZeroU32, u32;
    NonZeroU64, u64;
    NonZeroUsize, usize;
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a number";
    const KIND: &'static str = "number";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.float(Self::EXPECTED)
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "true or false";
    const KIND: &'static str = "true or false";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.boolean(Self::EXPECTED)
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "a text";
    const KIND: &'static str = "text";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.parse_text(Self::EXPECTED, |text| Some(text.to_owned()))
    }
}

impl FromValue for Duration {
    const EXPECTED: &'static str = "a duration such as \"30s\", \"5m\" or \"1h 30m\"";
    const KIND: &'static str = "duration";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.parse_text(Self::EXPECTED, |text| humantime::parse_duration(text.trim()).ok())
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// How many bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromValue for Size {
    const EXPECTED: &'static str = "a size with its unit, such as \"512 MiB\" or \"64 KiB\"";
    const KIND: &'static str = "size";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        // Without a unit, half of the readers would take it for mebibytes.
        let has_unit = |text: &str| text.ends_with(|c: char| c.is_ascii_alphabetic());
        let parse = |text: &str| text.parse::<ByteSize>().ok().map(|size| Self(size.as_u64()));
        value.parse_text(Self::EXPECTED, |text| Some(text.trim()).filter(|text| has_unit(text)).and_then(parse))
    }
}

/// A number, or `false` for none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrOff(Option<u32>);

impl OrOff {
    /// The number; `None` for `false`.
    pub fn number(self) -> Option<u32> {
        self.0
    }
}

impl FromValue for OrOff {
    const EXPECTED: &'static str = "a whole number from 0, or false";
    const KIND: &'static str = "whole number from 0, or `false`";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        if matches!(value.node(), toml::de::DeValue::Boolean(false)) {
            return Some(Self(None));
        }
        value.integer(Self::EXPECTED).map(|number| Self(Some(number)))
    }
}

/// The name of a queue or an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

impl FromValue for Name {
    const EXPECTED: &'static str = "a name: 1 to 200 letters, digits, '.', '_' or '-'";
    const KIND: &'static str = "name";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.parse_text(Self::EXPECTED, |text| check_name(text).ok().map(|()| Self(text.to_owned())))
    }
}
