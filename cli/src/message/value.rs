//! Header values in JSON, without loss.
//!
//! Null, truth values, numbers, text, lists and maps are themselves. What JSON does not have is a map with one name that
//! begins with `$`: `{"$bytes": "…"}` (base64), `{"$timestamp": seconds}`, `{"$float": "NaN"}`, and `{"$map": {…}}` for a map
//! that has such a name itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use swarrot::Value;

/// A value as JSON.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(b) => Json::from(*b),
        Value::Int(n) => Json::from(*n),
        Value::Float(f) if f.is_finite() => Json::from(*f),
        Value::Float(f) => json!({ "$float": f.to_string() }),
        Value::String(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => json!({ "$bytes": STANDARD.encode(bytes) }),
        Value::Timestamp(seconds) => json!({ "$timestamp": seconds }),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(items) => {
            let map: serde_json::Map<_, _> = items.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
            if map.keys().any(|name| name.starts_with('$')) { json!({ "$map": map }) } else { Json::Object(map) }
        }
        _ => Json::Null,
    }
}

/// A value from JSON.
///
/// # Errors
/// What is wrong, in one line.
pub(crate) fn from_json(json: Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(float)) if !n.is_u64() => Value::Float(float),
            _ => return Err(format!("the number {n} is too large; a header has 64 bits with a sign")),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::List(items.into_iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Object(map) => match single(&map) {
            Some(("$bytes", Json::String(text))) => {
                Value::Bytes(STANDARD.decode(text).map_err(|_| "$bytes takes base64".to_owned())?.into())
            }
            Some(("$timestamp", Json::Number(n))) => {
                Value::Timestamp(n.as_u64().ok_or("$timestamp takes whole seconds since the Unix epoch")?)
            }
            Some(("$float", Json::String(text))) => {
                Value::Float(text.parse().map_err(|_| "$float takes NaN, inf or -inf".to_owned())?)
            }
            Some(("$map", Json::Object(inner))) => Value::Map(entries(inner.clone())?),
            _ => match map.keys().find(|name| name.starts_with('$')) {
                Some(name) => {
                    return Err(format!("{name} means nothing; known are $bytes, $timestamp, $float and $map"));
                }
                None => Value::Map(entries(map)?),
            },
        },
    })
}

fn single(map: &serde_json::Map<String, Json>) -> Option<(&str, &Json)> {
    let mut entries = map.iter();
    let (name, value) = entries.next()?;
    entries.next().is_none().then_some((name.as_str(), value))
}

fn entries(map: serde_json::Map<String, Json>) -> Result<BTreeMap<String, Value>, String> {
    map.into_iter().map(|(name, value)| Ok((name, from_json(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives() {
        let map = |name: &str| Value::Map(BTreeMap::from([(name.to_owned(), Value::Int(1))]));
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Float(1.0),
            Value::Float(f64::INFINITY),
            Value::from("text\u{0}\n"),
            Value::Bytes(vec![0, 255].into()),
            Value::Timestamp(u64::MAX),
            Value::List(vec![Value::Int(1), map("a")]),
            map("plain"),
            map("$bytes"),
            map("$map"),
            Value::Map(BTreeMap::new()),
        ];
        for value in values {
            let text = to_json(&value).to_string();
            let back = from_json(serde_json::from_str(&text).expect("JSON"));
            assert_eq!(back.as_ref(), Ok(&value), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for bad in [r#"{"$x": 1}"#, r#"{"$bytes": "*"}"#, r#"{"$timestamp": -1}"#, "18446744073709551615"] {
            from_json(serde_json::from_str(bad).expect("JSON")).expect_err(bad);
        }
    }
}
