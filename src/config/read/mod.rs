//! From a text to values: the machinery that knows nothing of what a file may say.

mod choices;
mod collections;
mod kinds;
mod nearest;
mod options;
mod source;
mod table;
mod value;
mod variables;
#[cfg(feature = "yaml")]
mod yaml;

pub(super) use self::choices::choices;
pub use self::collections::Named;
pub use self::kinds::{Name, OrOff, Size};
pub(super) use self::nearest::hint;
pub use self::options::{Field, Key, Keys, Options, options};
pub(super) use self::source::{Format, Names, Reading, Source};
pub use self::table::Table;
pub(super) use self::value::shown;
pub use self::value::{FromValue, Value};
pub(super) use self::variables::Variables;
