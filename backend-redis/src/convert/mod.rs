//! Between messages and what is stored in Redis.

mod entry;
mod meta;
mod value;

pub(crate) use self::entry::{Entry, EntryId, fields_of, parse_entries, text};
pub(crate) use self::meta::encode;
