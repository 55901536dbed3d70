//! Messages for people to read.

use std::fmt::Write as _;

use swarrot::Message;

use super::to_json;
use crate::output::{ago, time};

/// Some lines about a message: what it is, its headers, its body.
pub(crate) fn describe(message: &Message) -> String {
    let p = &message.properties;
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing into a string does not fail.
            let _ = writeln!(text, "{name:<16} {}", printable(&value));
        }
    };
    line("id", p.message_id.clone());
    line("type", p.message_type.clone());
    line("content type", p.content_type.clone());
    line("encoding", p.content_encoding.clone());
    line("correlation id", p.correlation_id.clone());
    line("reply to", p.reply_to.clone());
    line("published", p.timestamp.map(time));
    line("priority", p.priority.map(|n| n.to_string()));
    line("expires after", p.ttl.map(|ttl| humantime::format_duration(ttl).to_string()));
    line("application", p.app_id.clone());
    if let Some(failure) = message.failure() {
        let when = |at: u64| format!("{} ({})", time(at), ago(at));
        line("failed first", failure.first_at.map(when));
        line("failed last", failure.last_at.map(when));
    }
    for (name, value) in message.headers.iter() {
        // What has several lines is indented, such as the history of failures.
        let value = value.as_str().map_or_else(|| to_json(value).to_string(), |text| text.replace('\n', "\n    "));
        line(&format!("header {name}"), Some(value));
    }
    let body = match std::str::from_utf8(&message.body) {
        Ok(body) => printable(body),
        Err(_) => format!("{} bytes that are no text: {}", message.body.len(), message.body.escape_ascii()),
    };
    let _ = writeln!(text, "\n{}", body.trim_end_matches('\n'));
    text
}

/// Text without what would steer a terminal: control characters but line breaks and tabs are escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // The second range turns text around, which can make it look like something else.
        if c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let message = Message::new("a\u{1b}]0;x\u{7}\nb").message_type("t\u{1b}[2J").header("h", 1_i64);
        let text = describe(&message);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
        assert!(text.contains("a\\u{1b}]0;x\\u{7}\nb") && text.contains("header h"), "{text}");
        assert!(describe(&Message::new(vec![0xff, 0x1b])).contains("2 bytes that are no text: \\xff\\x1b"));
    }
}
