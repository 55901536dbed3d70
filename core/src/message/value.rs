//! The type of a header's value.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The value of a header. It comes out of every backend as it went in.
///
/// The variants are those that AMQP 0-9-1's field tables and other brokers' metadata have in common; a number that
/// another client sent with a smaller width arrives as [`Value::Int`] or [`Value::Float`].
///
/// Dropping, cloning, comparing and printing a value go as deep as it is nested, on the thread's stack. A backend hands out
/// nothing deeper than [`Value::MAX_DEPTH`], whatever a peer has sent.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: the header is there, but empty.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A signed whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// UTF-8 text.
    String(String),
    /// Raw bytes.
    Bytes(Bytes),
    /// A point in time, in whole seconds since the Unix epoch (the resolution of AMQP 0-9-1).
    Timestamp(u64),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// The deepest that a backend decodes: what is nested deeper becomes [`Value::Null`] at this level, so that it is over
    /// every sensible [limit](super::Limits::nesting) and fits every stack. A debug build on a stack of 2 MiB, the size of
    /// a tokio worker's, overflows at a thousand levels.
    pub const MAX_DEPTH: usize = 128;

    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The point in time, in seconds since the Unix epoch, if it is one.
    pub fn as_timestamp(&self) -> Option<u64> {
        match self {
            Self::Timestamp(s) => Some(*s),
            _ => None,
        }
    }

    /// How many levels of lists and maps are nested in it: 0 for a plain value, 1 for a list of plain values.
    pub fn depth(&self) -> usize {
        // An explicit stack: the value may come from a hostile peer and be deeper than the thread's stack.
        let mut deepest = 0;
        let mut open = vec![(self, 0)];
        while let Some((value, depth)) = open.pop() {
            deepest = deepest.max(depth);
            match value {
                Self::List(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
                Self::Map(items) => open.extend(items.values().map(|item| (item, depth + 1))),
                _ => continue,
            }
            deepest = deepest.max(depth + 1);
        }
        deepest
    }

    /// The size of its content in bytes: text and bytes by their length, numbers as eight, what is empty as
    /// one, containers as the sum of what is in them and one.
    pub fn size(&self) -> usize {
        self.size_with(0)
    }

    /// The most bytes that it takes in a broker's format, which says of each value what it is and how long.
    pub(crate) fn encoded_size(&self) -> usize {
        const TYPE_AND_LENGTH: usize = 5;
        TYPE_AND_LENGTH + self.size_with(TYPE_AND_LENGTH + 1)
    }

    /// The size, with so much more for each value in a container.
    fn size_with(&self, more: usize) -> usize {
        let mut size = 0;
        let mut open = vec![self];
        while let Some(value) = open.pop() {
            match value {
                Self::Null | Self::Bool(_) => size += 1,
                Self::Int(_) | Self::Float(_) | Self::Timestamp(_) => size += 8,
                Self::String(s) => size += s.len(),
                Self::Bytes(b) => size += b.len(),
                Self::List(items) => {
                    size += 1 + items.len() * more;
                    open.extend(items);
                }
                Self::Map(items) => {
                    size += 1 + items.keys().map(|name| name.len() + more).sum::<usize>();
                    open.extend(items.values());
                }
            }
        }
        size
    }
}

macro_rules! from {
    ($($source:ty => |$value:ident| $build:expr),* $(,)?) => {$(
        impl From<$source> for Value {
            fn from($value: $source) -> Self {
                $build
            }
        }
    )*};
}

from! {
    bool => |value| Self::Bool(value),
    i64 => |value| Self::Int(value),
    i32 => |value| Self::Int(value.into()),
    u32 => |value| Self::Int(value.into()),
    u16 => |value| Self::Int(value.into()),
    u8 => |value| Self::Int(value.into()),
    f64 => |value| Self::Float(value),
    &str => |value| Self::String(value.to_owned()),
    String => |value| Self::String(value),
    Bytes => |value| Self::Bytes(value),
    Vec<Value> => |value| Self::List(value),
    BTreeMap<String, Value> => |value| Self::Map(value),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_levels_of_nesting() {
        assert_eq!(Value::Int(1).depth(), 0);
        assert_eq!(Value::List(vec![]).depth(), 1);
        assert_eq!(Value::List(vec![Value::List(vec![Value::Null])]).depth(), 2);
    }

    #[test]
    fn the_deepest_value_needs_a_small_part_of_a_stack() {
        let values = (0..Value::MAX_DEPTH).fold(Value::Null, |inner, level| match level % 2 {
            0 => Value::Map(BTreeMap::from([("k".to_owned(), inner)])),
            _ => Value::List(vec![inner]),
        });
        let use_it = move || {
            let copy = values.clone();
            assert!(copy == values && format!("{copy:?}").len() > Value::MAX_DEPTH);
        };
        std::thread::Builder::new().stack_size(512 << 10).spawn(use_it).expect("a thread").join().expect("it fits");
    }

    #[test]
    fn size_sums_names_and_content() {
        let map = BTreeMap::from([("four".to_owned(), Value::from("five5"))]);
        assert_eq!(Value::List(vec![Value::Map(map), Value::Int(7)]).size(), 1 + 1 + 4 + 5 + 8);
        assert_eq!(Value::List(vec![Value::Null; 100]).size(), 101, "nothing is free");
    }
}
