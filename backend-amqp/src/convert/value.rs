//! Header values: AMQP field tables and ours.

use std::collections::BTreeMap;

use bytes::Bytes;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, ShortString};
use swarrot_core::{Error, ErrorKind, Result, Value};

/// How deep lists and maps are followed. What is nested deeper could overflow a stack when it is converted or dropped;
/// it arrives as [`Value::Null`], and the value as a whole is far beyond any reasonable limit.
const MAX_DEPTH: usize = 64;
/// RabbitMQ breaks the connection over a number that is none or infinite. Such a number travels as a table with this
/// one entry, whose value is its name.
const FLOAT: &str = "swarrot_float";

/// A value as it arrives. Numbers of any width become `Int` or `Float`, decimals the nearest `Float`; text that is not
/// UTF-8 becomes `Bytes`.
pub(crate) fn from_amqp(value: &AMQPValue) -> Value {
    from_nested(value, MAX_DEPTH)
}

fn from_nested(value: &AMQPValue, depth: usize) -> Value {
    match value {
        AMQPValue::Boolean(b) => Value::Bool(*b),
        AMQPValue::ShortShortInt(n) => Value::Int((*n).into()),
        AMQPValue::ShortShortUInt(n) => Value::Int((*n).into()),
        AMQPValue::ShortInt(n) => Value::Int((*n).into()),
        AMQPValue::ShortUInt(n) => Value::Int((*n).into()),
        AMQPValue::LongInt(n) => Value::Int((*n).into()),
        AMQPValue::LongUInt(n) => Value::Int((*n).into()),
        AMQPValue::LongLongInt(n) => Value::Int(*n),
        AMQPValue::Float(x) => Value::Float((*x).into()),
        AMQPValue::Double(x) => Value::Float(*x),
        AMQPValue::DecimalValue(decimal) => Value::Float(nearest(*decimal)),
        AMQPValue::ShortString(text) => Value::String(text.as_str().to_owned()),
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => Value::Bytes(Bytes::copy_from_slice(text.as_bytes())),
        },
        AMQPValue::ByteArray(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes.as_slice())),
        AMQPValue::Timestamp(seconds) => Value::Timestamp(*seconds),
        AMQPValue::Void => Value::Null,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth == 0 => Value::Null,
        AMQPValue::FieldArray(items) => {
            Value::List(items.as_slice().iter().map(|item| from_nested(item, depth - 1)).collect())
        }
        AMQPValue::FieldTable(table) if unusual_float(table).is_some() => {
            Value::Float(unusual_float(table).unwrap_or(f64::NAN))
        }
        AMQPValue::FieldTable(table) => Value::Map(
            table.into_iter().map(|(name, item)| (name.as_str().to_owned(), from_nested(item, depth - 1))).collect(),
        ),
    }
}

/// The number nearest to a decimal. Its digits are a signed number, whatever lapin takes them for.
fn nearest(decimal: DecimalValue) -> f64 {
    // Through text, for powers of ten above 22 are not exact.
    format!("{}e-{}", decimal.value.cast_signed(), decimal.scale).parse().unwrap_or(f64::NAN)
}

fn unusual_float(table: &FieldTable) -> Option<f64> {
    match table.inner().get(FLOAT)? {
        AMQPValue::LongString(name) if table.inner().len() == 1 => {
            std::str::from_utf8(name.as_bytes()).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// A value as it is sent.
pub(crate) fn to_amqp(value: &Value) -> Result<AMQPValue> {
    to_nested(value, MAX_DEPTH)
}

fn to_nested(value: &Value, depth: usize) -> Result<AMQPValue> {
    Ok(match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(b) => AMQPValue::Boolean(*b),
        Value::Int(n) => AMQPValue::LongLongInt(*n),
        Value::Float(x) if !x.is_finite() => {
            let mut table = FieldTable::default();
            table.insert(FLOAT.into(), AMQPValue::LongString(x.to_string().into()));
            AMQPValue::FieldTable(table)
        }
        Value::Float(x) => AMQPValue::Double(*x),
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Bytes(bytes) => AMQPValue::ByteArray(ByteArray::from(&bytes[..])),
        Value::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        Value::List(_) | Value::Map(_) if depth == 0 => {
            return Err(Error::new(ErrorKind::TooLarge, format!("a value is nested more than {MAX_DEPTH} deep")));
        }
        Value::List(items) => {
            let items: Result<Vec<_>> = items.iter().map(|item| to_nested(item, depth - 1)).collect();
            AMQPValue::FieldArray(FieldArray::from(items?))
        }
        Value::Map(items) => AMQPValue::FieldTable(table(items, depth - 1)?),
        other => return Err(Error::new(ErrorKind::Unsupported, format!("AMQP has no type for {other:?}"))),
    })
}

/// Arguments or headers as a table.
pub(crate) fn to_table<'a>(items: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Result<FieldTable> {
    let items: Result<BTreeMap<_, _>> =
        items.into_iter().map(|(name, value)| Ok((short(name, "a header's name")?, to_amqp(value)?))).collect();
    Ok(FieldTable::from(items?))
}

fn table(items: &BTreeMap<String, Value>, depth: usize) -> Result<FieldTable> {
    let items: Result<BTreeMap<_, _>> =
        items.iter().map(|(name, value)| Ok((short(name, "a name")?, to_nested(value, depth)?))).collect();
    Ok(FieldTable::from(items?))
}

/// A text that AMQP keeps short: at most 255 bytes.
pub(crate) fn short(text: &str, what: &str) -> Result<ShortString> {
    ShortString::try_new(text)
        .map_err(|_| Error::new(ErrorKind::TooLarge, format!("{what} has {} bytes, AMQP allows 255", text.len())))
}

/// How many bytes a table takes in a frame.
pub(crate) fn encoded_size(table: &FieldTable) -> usize {
    const LENGTH: usize = 4;
    // An explicit stack, as in `Value::size`.
    let mut size = LENGTH;
    let mut open: Vec<(Option<&ShortString>, &AMQPValue)> =
        table.into_iter().map(|(name, value)| (Some(name), value)).collect();
    while let Some((name, value)) = open.pop() {
        // The length of the name, and the type's letter.
        size += name.map_or(0, |name| 1 + name.as_str().len()) + 1;
        size += match value {
            AMQPValue::Void => 0,
            AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
            AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
            AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
            AMQPValue::DecimalValue(_) => 5,
            AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
            AMQPValue::ShortString(text) => 1 + text.as_str().len(),
            AMQPValue::LongString(text) => LENGTH + text.len(),
            AMQPValue::ByteArray(bytes) => LENGTH + bytes.len(),
            AMQPValue::FieldArray(items) => {
                open.extend(items.as_slice().iter().map(|item| (None, item)));
                LENGTH
            }
            AMQPValue::FieldTable(items) => {
                open.extend(items.into_iter().map(|(name, item)| (Some(name), item)));
                LENGTH
            }
        };
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_value() -> Vec<Value> {
        let map = BTreeMap::from([("é".to_owned(), Value::Null), ("k".to_owned(), Value::Float(-0.5))]);
        vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(f64::MAX),
            Value::Float(f64::NEG_INFINITY),
            Value::from("tëxt"),
            Value::Bytes(Bytes::from_static(b"\xff\0")),
            Value::Timestamp(u64::MAX),
            Value::List(vec![Value::Int(1), Value::List(vec![])]),
            Value::Map(map),
        ]
    }

    #[test]
    fn ours_come_back_as_they_were() {
        for value in every_value() {
            assert_eq!(from_amqp(&to_amqp(&value).expect("it encodes")), value);
        }
    }

    #[test]
    fn no_number_stays_none() {
        let amqp = to_amqp(&Value::Float(f64::NAN)).expect("it encodes");
        assert!(matches!(from_amqp(&amqp), Value::Float(x) if x.is_nan()));
    }

    #[test]
    fn foreign_ones_find_a_type() {
        for (foreign, ours) in [
            (AMQPValue::ShortShortInt(-7), Value::Int(-7)),
            (AMQPValue::LongUInt(u32::MAX), Value::Int(u32::MAX.into())),
            (AMQPValue::Float(0.5), Value::Float(0.5)),
            (AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 1999 }), Value::Float(19.99)),
            (AMQPValue::DecimalValue(DecimalValue { scale: 1, value: (-15_i32).cast_unsigned() }), Value::Float(-1.5)),
            (AMQPValue::DecimalValue(DecimalValue { scale: 40, value: 3 }), Value::Float(3e-40)),
            (AMQPValue::LongString(vec![0xff].into()), Value::Bytes(Bytes::from_static(&[0xff]))),
        ] {
            assert_eq!(from_amqp(&foreign), ours, "{foreign:?}");
        }
    }

    #[test]
    fn hostile_nesting_is_cut() {
        let deep = (0..2000).fold(AMQPValue::Void, |inner, _| AMQPValue::FieldArray(vec![inner].into()));
        assert_eq!(from_amqp(&deep).depth(), MAX_DEPTH);
        let deep = (0..100).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert_eq!(to_amqp(&deep).map_err(|e| e.kind()), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn the_encoded_size_is_lapins() {
        let headers = every_value();
        let names: Vec<_> = (0..headers.len()).map(|i| format!("header-{i}")).collect();
        let table = to_table(names.iter().map(String::as_str).zip(&headers)).expect("it encodes");
        let written = lapin::types::generation::gen_field_table(&table)(Vec::new().into()).expect("it is written");
        assert_eq!(encoded_size(&table), written.write.len());
    }
}
