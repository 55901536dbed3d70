//! Values that are one of a few words.

/// Reads a type from one of a few words.
macro_rules! choices {
    ($type:ty: $first:literal => $first_value:expr, $($next:literal => $next_value:expr,)* or $last:literal => $last_value:expr) => {
        impl $crate::config::FromValue for $type {
            const EXPECTED: &'static str = concat!("\"", $first, "\"", $(", \"", $next, "\"",)* " or \"", $last, "\"");
            const KIND: &'static str = concat!("`\"", $first, "\"`", $(", `\"", $next, "\"`",)* " or `\"", $last, "\"`");

            fn from_value(value: &$crate::config::Value<'_>) -> Option<Self> {
                value.parse_text(Self::EXPECTED, |text| match text {
                    $first => Some($first_value),
                    $($next => Some($next_value),)*
                    $last => Some($last_value),
                    _ => None,
                })
            }
        }
    };
}

pub(in crate::config) use choices;
