//! Messages as they are read and written.

mod document;
mod filter;
mod text;
mod value;

pub(crate) use self::document::Document;
pub(crate) use self::filter::Filter;
pub(crate) use self::text::{describe, printable};
pub(crate) use self::value::{from_json, to_json};
