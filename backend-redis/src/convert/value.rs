//! Values of headers as `MessagePack`. Each kind of value has a type there of its own, so that it comes out as it
//! went in; points in time are its timestamps.

use std::collections::BTreeMap;

use bytes::Bytes;
use rmp::Marker;
use rmp::encode::{self as mp, ByteBuf};
use swarrot_core::Value;

/// The format's own type for points in time.
const TIMESTAMP: i8 = -1;
/// Ours for points in time that are too far away for that.
const FAR_TIMESTAMP: i8 = 1;

// Writing to memory does not fail, which the types of `rmp` say: its error has no value.
fn written<T>(result: &Result<T, mp::ValueWriteError<std::convert::Infallible>>) {
    debug_assert!(result.is_ok(), "memory takes all bytes");
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(super) fn text(out: &mut ByteBuf, text: &str) {
    written(&mp::write_str(out, text));
}

pub(super) fn map_len(out: &mut ByteBuf, count: usize) {
    written(&mp::write_map_len(out, length(count)));
}

/// Encodes a value, whose depth was checked before.
pub(super) fn encode(out: &mut ByteBuf, value: &Value) {
    match value {
        Value::Bool(yes) => out.as_mut_vec().push(if *yes { Marker::True } else { Marker::False }.to_u8()),
        Value::Int(number) => written(&mp::write_sint(out, *number)),
        Value::Float(number) => written(&mp::write_f64(out, *number)),
        Value::String(string) => text(out, string),
        Value::Bytes(bytes) => written(&mp::write_bin(out, bytes)),
        Value::Timestamp(seconds) => timestamp(out, *seconds),
        Value::List(items) => {
            written(&mp::write_array_len(out, length(items.len())));
            for item in items {
                encode(out, item);
            }
        }
        Value::Map(items) => {
            map_len(out, items.len());
            for (name, item) in items {
                text(out, name);
                encode(out, item);
            }
        }
        // Nothing, and kinds of values that are new to this backend.
        _ => out.as_mut_vec().push(Marker::Null.to_u8()),
    }
}

fn timestamp(out: &mut ByteBuf, seconds: u64) {
    match u32::try_from(seconds) {
        Ok(seconds) => {
            written(&mp::write_ext_meta(out, 4, TIMESTAMP));
            out.as_mut_vec().extend(seconds.to_be_bytes());
        }
        Err(_) if i64::try_from(seconds).is_ok() => {
            written(&mp::write_ext_meta(out, 12, TIMESTAMP));
            out.as_mut_vec().extend([0; 4]);
            out.as_mut_vec().extend(seconds.to_be_bytes());
        }
        Err(_) => {
            written(&mp::write_ext_meta(out, 8, FAR_TIMESTAMP));
            out.as_mut_vec().extend(seconds.to_be_bytes());
        }
    }
}

/// Decodes a map that is all of the bytes, and hands out its entries in their order; `None` if the bytes are something else, or
/// an entry is refused.
pub(super) fn decode_map(bytes: &[u8], mut take: impl FnMut(&str, Value) -> Option<()>) -> Option<()> {
    let mut input = Input(bytes);
    let Head::Map(count) = input.head()? else { return None };
    for _ in 0..count {
        let name = input.name()?;
        take(name, input.value(1)?)?;
    }
    input.0.is_empty().then_some(())
}

struct Input<'a>(&'a [u8]);

/// The beginning of a value.
enum Head {
    Value(Value),
    List(usize),
    Map(usize),
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A length of so many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        self.take(bytes)?.iter().try_fold(0_usize, |length, byte| Some(length.checked_mul(256)? + usize::from(*byte)))
    }

    fn string(&mut self, length: usize) -> Option<String> {
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// A string, where it is.
    fn name(&mut self) -> Option<&'a str> {
        let length = match Marker::from_u8(self.array::<1>()?[0]) {
            Marker::FixStr(length) => length.into(),
            marker @ (Marker::Str8 | Marker::Str16 | Marker::Str32) => self.length(width(marker))?,
            _ => return None,
        };
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let container = match self.head()? {
            Head::Value(value) => return Some(value),
            container => container,
        };
        if depth == Value::MAX_DEPTH {
            // It may come from a hostile peer, and be deeper than the stack.
            self.skip(container)?;
            return Some(Value::Null);
        }
        match container {
            Head::Value(value) => Some(value),
            Head::List(count) => self.list(count, depth),
            Head::Map(count) => self.map(count, depth),
        }
    }

    /// Passes over what is in a list or map, without recursion.
    fn skip(&mut self, container: Head) -> Option<()> {
        let items = |head| match head {
            Head::Value(_) => Some(0),
            Head::List(count) => Some(count),
            Head::Map(count) => count.checked_mul(2),
        };
        let mut left = items(container)?;
        while left > 0 {
            left = (left - 1).checked_add(items(self.head()?)?)?;
        }
        Some(())
    }

    /// A plain value, or how many items or pairs follow.
    fn head(&mut self) -> Option<Head> {
        Some(Head::Value(match Marker::from_u8(self.array::<1>()?[0]) {
            Marker::Null => Value::Null,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(number) => Value::Int(number.into()),
            Marker::FixNeg(number) => Value::Int(number.into()),
            Marker::U8 => Value::Int(self.array::<1>()?[0].into()),
            Marker::U16 => Value::Int(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Value::Int(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => unsigned(u64::from_be_bytes(self.array()?)),
            Marker::I8 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Value::Int(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Value::Int(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Value::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Value::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(length) => Value::String(self.string(length.into())?),
            marker @ (Marker::Str8 | Marker::Str16 | Marker::Str32) => {
                let length = self.length(width(marker))?;
                Value::String(self.string(length)?)
            }
            marker @ (Marker::Bin8 | Marker::Bin16 | Marker::Bin32) => {
                let length = self.length(width(marker))?;
                Value::Bytes(Bytes::copy_from_slice(self.take(length)?))
            }
            Marker::FixArray(count) => return Some(Head::List(count.into())),
            marker @ (Marker::Array16 | Marker::Array32) => {
                return Some(Head::List(self.length(width(marker))?));
            }
            Marker::FixMap(count) => return Some(Head::Map(count.into())),
            marker @ (Marker::Map16 | Marker::Map32) => {
                return Some(Head::Map(self.length(width(marker))?));
            }
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            marker @ (Marker::Ext8 | Marker::Ext16 | Marker::Ext32) => {
                let length = self.length(width(marker))?;
                self.extension(length)?
            }
            Marker::Reserved => return None,
        }))
    }

    // The count is not trusted with memory: a list grows as its items arrive.
    fn list(&mut self, count: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Some(Value::List(items))
    }

    fn map(&mut self, count: usize, depth: usize) -> Option<Value> {
        let mut items = BTreeMap::new();
        for _ in 0..count {
            let name = self.name()?.to_owned();
            items.insert(name, self.value(depth + 1)?);
        }
        Some(Value::Map(items))
    }

    fn extension(&mut self, length: usize) -> Option<Value> {
        let kind = i8::from_be_bytes(self.array()?);
        let bytes = self.take(length)?;
        Some(match (kind, length) {
            (TIMESTAMP, 4) => Value::Timestamp(u32::from_be_bytes(bytes.try_into().ok()?).into()),
            // 30 bits of nanoseconds, which we do not keep, then 34 bits of seconds.
            (TIMESTAMP, 8) => Value::Timestamp(u64::from_be_bytes(bytes.try_into().ok()?) & ((1 << 34) - 1)),
            (TIMESTAMP, 12) => {
                let seconds = i64::from_be_bytes(bytes[4..].try_into().ok()?);
                Value::Timestamp(u64::try_from(seconds).ok()?)
            }
            (FAR_TIMESTAMP, 8) => Value::Timestamp(u64::from_be_bytes(bytes.try_into().ok()?)),
            _ => Value::Bytes(Bytes::copy_from_slice(bytes)),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "no other kind of value holds such a number")]
fn unsigned(number: u64) -> Value {
    i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)
}

/// How many bytes hold the length of a value of this type.
fn width(marker: Marker) -> usize {
    match marker {
        Marker::Str8 | Marker::Bin8 | Marker::Ext8 => 1,
        Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes one value that is all of the bytes; `None` if they are something else.
    fn decode(bytes: &[u8]) -> Option<Value> {
        let mut input = Input(bytes);
        let value = input.value(0)?;
        input.0.is_empty().then_some(value)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("equal to itself", |f| !f.is_nan()).prop_map(Value::Float),
            ".*".prop_map(Value::String),
            any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
            any::<u64>().prop_map(Value::Timestamp),
            any::<u32>().prop_map(|seconds| Value::Timestamp(seconds.into())),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..40).prop_map(Value::List),
                prop::collection::btree_map(".*", inner, 0..20).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(value in any_value()) {
            let mut out = ByteBuf::new();
            encode(&mut out, &value);
            prop_assert_eq!(decode(out.as_slice()), Some(value));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn what_is_too_deep_becomes_null() {
        let mut deep = vec![0x91; 100_000];
        assert_eq!(decode(&deep), None, "its end is missing");
        deep.push(0xc0);
        assert_eq!(decode(&deep).map(|value| value.depth()), Some(Value::MAX_DEPTH));
        assert_eq!(decode(&[0xdd, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
