//! W3C Trace Context, as the headers of a message carry it.

use futures_util::future::Either;

use crate::message::{Headers, Value, names};

/// The bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The span that published a message, as its headers name it ([W3C Trace Context](https://www.w3.org/TR/trace-context/),
/// level 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceContext<'a> {
    /// 32 hexadecimal digits, in lower case, not all of them zero.
    pub(super) trace_id: &'a str,
    /// 16 hexadecimal digits, in lower case, not all of them zero.
    pub(super) parent_id: &'a str,
    pub(super) flags: u8,
    pub(super) state: Option<&'a str>,
}

impl<'a> TraceContext<'a> {
    /// What the headers say; `None` if they say nothing, or nothing valid.
    pub(super) fn of(headers: &'a Headers) -> Option<Self> {
        let parent = text(headers.get(names::TRACEPARENT)?)?;
        Self::parse(parent, headers.get(names::TRACESTATE).and_then(text))
    }

    fn parse(parent: &'a str, state: Option<&'a str>) -> Option<Self> {
        let bytes = parent.as_bytes();
        if bytes.len() < LENGTH || [2, 35, 52].into_iter().any(|at| bytes[at] != b'-') {
            return None;
        }
        // All of these are ASCII, or `hex` refuses them; so they end between characters.
        let (version, flags) = (hex(parent.get(0..2)?)?, hex(parent.get(53..55)?)?);
        // A later version may be longer, but begins the same.
        let as_known = match version {
            "00" => bytes.len() == LENGTH,
            "ff" => false,
            _ => bytes.len() == LENGTH || bytes[LENGTH] == b'-',
        };
        let id = |id: &'a str| hex(id).filter(|id| id.bytes().any(|digit| digit != b'0'));
        as_known.then_some(Self {
            trace_id: id(parent.get(3..35)?)?,
            parent_id: id(parent.get(36..52)?)?,
            flags: u8::from_str_radix(flags, 16).ok()?,
            state,
        })
    }
}

fn hex(text: &str) -> Option<&str> {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(text)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        // Some clients send text as bytes.
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

tokio::task_local! {
    /// The headers of the delivery that is handled, if they name a trace.
    static HANDLED: Headers;
}

/// Runs a handler so that what it publishes can be told to belong to the trace of these headers.
pub(super) fn within<F: Future>(headers: Option<Headers>, run: F) -> impl Future<Output = F::Output> {
    match headers {
        Some(headers) => Either::Left(HANDLED.scope(headers, run)),
        None => Either::Right(run),
    }
}

/// Hands the trace of the delivery that is handled on, as it is: who makes no spans may do that (W3C Trace Context, 3.4
/// "Mutating the traceparent Field").
pub(super) fn hand_on(headers: &mut Headers) {
    let copy = |handled: &Headers| {
        for name in [names::TRACEPARENT, names::TRACESTATE] {
            if let Some(value) = handled.get(name) {
                headers.insert(name, value.clone());
            }
        }
    };
    // No delivery is handled: there is nothing to hand on.
    let _ = HANDLED.try_with(copy);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parent: impl Into<Value>) -> Option<(String, String, u8)> {
        let headers = Headers::from_iter([(names::TRACEPARENT, parent)]);
        TraceContext::of(&headers).map(|c| (c.trace_id.to_owned(), c.parent_id.to_owned(), c.flags))
    }

    #[test]
    fn reads_what_is_valid() {
        let ids = Some(("0af7651916cd43dd8448eb211c80319c".to_owned(), "b7ad6b7169203331".to_owned(), 1));
        assert_eq!(of(PARENT), ids);
        assert_eq!(of(bytes::Bytes::from(PARENT)), ids, "as bytes");
        assert_eq!(of(PARENT.replacen("00", "01", 1) + "-more"), ids, "a later version");
    }

    #[test]
    fn refuses_what_is_not() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let wrong = [
            "",
            "00",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replace('-', "_"),
            &format!("{PARENT}-more"),
            &(PARENT.replacen("00", "01", 1) + "more"),
            &zero_trace,
            &zero_parent,
            &PARENT.replacen("0a", "é", 1),
            &"é".repeat(40),
        ];
        for parent in wrong {
            assert_eq!(of(parent), None, "{parent:?}");
        }
        assert_eq!(of(1_i64), None);
    }
}
