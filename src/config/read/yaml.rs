//! YAML as the same values as TOML, with their places.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Levels of lists and tables in each other; no file has more.
const MAX_DEPTH: usize = 64;
/// Values in all, those that aliases repeat included.
const MAX_VALUES: usize = 100_000;

/// A mistake: where, and what is wrong.
type Mistake = (Range<usize>, String);
type Node<'a> = Spanned<DeValue<'a>>;

/// Reads a text as one table.
///
/// # Errors
/// The first mistake.
pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Mistake> {
    let mut reader = Reader {
        text,
        // Where each character begins, in bytes, and where the text ends.
        offsets: text.char_indices().map(|(at, _)| at).chain([text.len()]).collect(),
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        values: 0,
    };
    let root = reader.document()?;
    let at = root.span();
    match root.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(at, table)),
        _ => Err((at, "a table must be here, with keys such as brokers:".to_owned())),
    }
}

struct Reader<'a> {
    text: &'a str,
    offsets: Vec<usize>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node<'a>>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), Mistake> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.place(span))),
            Some(Err(error)) => {
                let at = self.offset(error.marker().index());
                Err((at..at, format!("not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, self.text.len()..self.text.len())),
        }
    }

    fn place(&self, span: Span) -> Range<usize> {
        self.offset(span.start.index())..self.offset(span.end.index())
    }

    fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    /// The only document; none at all is an empty table.
    fn document(&mut self) -> Result<Node<'a>, Mistake> {
        let root = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, at) => return Ok(Spanned::new(at, DeValue::Table(DeTable::new()))),
                (event, at) => break self.value(event, at, 0)?,
            }
        };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), at) => {
                    return Err((at, "a second document begins here; leave one".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// The value that begins with this event.
    fn value(&mut self, event: Event<'a>, at: Range<usize>, depth: usize) -> Result<Node<'a>, Mistake> {
        self.count(1, &at)?;
        if depth > MAX_DEPTH {
            return Err((at, format!("more than {MAX_DEPTH} levels in each other")));
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return Err((at, "an alias of what it is in itself; write it out".to_owned()));
                };
                self.count(size(value.get_ref()), &at)?;
                return Ok(Spanned::new(at, value.into_inner()));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || is_text(tag.as_deref(), &at)?;
                (anchor, if is_text { DeValue::String(text) } else { self.plain(text, &at) })
            }
            Event::SequenceStart(anchor, tag) => {
                no_tag(tag.as_deref(), &at)?;
                let mut items = DeArray::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(self.value(event, at, depth + 1)?),
                    }
                }
                (anchor, DeValue::Array(items))
            }
            Event::MappingStart(anchor, tag) => {
                no_tag(tag.as_deref(), &at)?;
                (anchor, DeValue::Table(self.table(depth)?))
            }
            _ => return Err((at, "a value is missing here".to_owned())),
        };
        let node = Spanned::new(at, value);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn table(&mut self, depth: usize) -> Result<DeTable<'a>, Mistake> {
        let mut table = DeTable::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(table),
                Event::Scalar(key, ..) => key,
                _ => return Err((at, "a key is a plain text".to_owned())),
            };
            if key == "<<" {
                return Err((at, "tables are not merged; write the keys out".to_owned()));
            }
            if table.contains_key(key.as_ref()) {
                return Err((at, format!("the key {key:?} is there twice; leave one")));
            }
            let (event, value_at) = self.next()?;
            let value = self.value(event, value_at, depth + 1)?;
            table.insert(Spanned::new(at, key), value);
        }
    }

    /// What a text without quotes is, as YAML's core schema says: nothing is an empty table.
    fn plain(&self, text: Cow<'a, str>, at: &Range<usize>) -> DeValue<'a> {
        match text.as_ref() {
            "" | "~" | "null" | "Null" | "NULL" => return DeValue::Table(DeTable::new()),
            "true" | "True" | "TRUE" => return DeValue::Boolean(true),
            "false" | "False" | "FALSE" => return DeValue::Boolean(false),
            _ => {}
        }
        let written = self.text.get(at.clone()).unwrap_or_default().trim();
        let looks_like_one = written.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-')
            && written.contains(|c: char| c.is_ascii_digit())
            && !written.contains('_');
        match DeValue::parse(written).map(Spanned::into_inner) {
            Ok(number @ (DeValue::Integer(_) | DeValue::Float(_))) if looks_like_one && written == text => number,
            _ => DeValue::String(text),
        }
    }

    fn count(&mut self, values: usize, at: &Range<usize>) -> Result<(), Mistake> {
        self.values += values;
        if self.values > MAX_VALUES {
            return Err((at.clone(), format!("more than {MAX_VALUES} values; aliases count for all that they repeat")));
        }
        Ok(())
    }
}

/// Whether a tag says that a plain scalar is a text.
fn is_text(tag: Option<&Tag>, at: &Range<usize>) -> Result<bool, Mistake> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
        tag => no_tag(tag, at).map(|()| false),
    }
}

fn no_tag(tag: Option<&Tag>, at: &Range<usize>) -> Result<(), Mistake> {
    match tag {
        None => Ok(()),
        Some(tag) => Err((at.clone(), format!("the tag {}{} is not known; leave it out", tag.handle, tag.suffix))),
    }
}

/// Values in a value, itself not counted.
fn size(value: &DeValue<'_>) -> usize {
    match value {
        DeValue::Array(items) => items.iter().map(|item| 1 + size(item.get_ref())).sum(),
        DeValue::Table(entries) => entries.values().map(|entry| 1 + size(entry.get_ref())).sum(),
        _ => 0,
    }
}
