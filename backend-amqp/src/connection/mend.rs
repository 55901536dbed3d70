//! Properties, headers and names that lapin cannot read, made readable.
//!
//! RabbitMQ passes on what publishers send: names that are not UTF-8, and tables nested thousands deep. lapin breaks the
//! connection over the first, and overflows its stack over the second, again and again, since the message comes back
//! each time. Here such text is read as Latin-1, in which all bytes are text, and what is nested too deep is replaced by
//! a note of its size.
//!
//! lapin also breaks the connection over a frame above the size that was agreed on, and a content header is one frame.
//! Latin-1 makes it longer, and so does RabbitMQ by headers of its own. What does not fit is left out, and no more.
//!
//! The layout is that of AMQP 0-9-1, sections 4.2.5 (fields), 4.2.6.1 (content header) and 1.8 (class `basic`), with
//! RabbitMQ's types of fields.

/// How deep lists and maps may be nested.
const MAX_DEPTH: usize = 64;
/// Bytes in a short string at most.
const MAX_SHORT: usize = 255;
/// Bytes of a header's value that is kept where all do not fit, its type included.
const SMALL: usize = 256;
/// The header that says that there were others.
const LEFT_OUT: &[u8] = b"swarrot_headers";
const BASIC: u16 = 60;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Keep {
    /// All of it.
    All,
    /// What needs no more bytes than were sent: `?` for what would take two, nothing for what is nested too deep.
    NoMore,
    /// And notes in the place of large headers.
    Small,
    /// And a note in the place of all headers.
    Properties,
}

/// A content header with all of it readable, in at most so many bytes; `None` if it is so already, or is none that is known.
pub(super) fn content_header(payload: &[u8], room: usize) -> Option<Vec<u8>> {
    let mended = mended(payload, read_content_header);
    if mended.as_ref().map_or(payload.len(), Vec::len) <= room {
        return mended;
    }
    let less = [Keep::NoMore, Keep::Small, Keep::Properties].into_iter();
    let mut fitting = less.filter_map(|keep| written(payload, keep, read_content_header));
    fitting.find(|header| header.len() <= room).or(mended)
}

/// A method with its names readable, where it carries names that publishers choose; `None` if it is so already.
pub(super) fn method(payload: &[u8]) -> Option<Vec<u8>> {
    mended(payload, read_method)
}

type Read = fn(&mut Mended, &[u8]) -> Option<()>;

/// Reads it, and only if there is something to mend reads it once more to write it anew: that is rare, and each message
/// comes through here.
fn mended(payload: &[u8], read: Read) -> Option<Vec<u8>> {
    let mut look = Mended { bytes: Vec::new(), writes: false, changed: false, keep: Keep::All };
    read(&mut look, payload)?;
    if look.changed { written(payload, Keep::All, read) } else { None }
}

fn written(payload: &[u8], keep: Keep, read: Read) -> Option<Vec<u8>> {
    let mut out = Mended { bytes: Vec::with_capacity(payload.len()), writes: true, changed: false, keep };
    read(&mut out, payload)?;
    Some(out.bytes)
}

fn read_content_header(out: &mut Mended, payload: &[u8]) -> Option<()> {
    // Class, weight, size of the body, which properties follow.
    const FIXED: usize = 2 + 2 + 8 + 2;
    let (fixed, mut rest) = payload.split_at_checked(FIXED)?;
    let flags = u16::from_be_bytes([fixed[FIXED - 2], fixed[FIXED - 1]]);
    // The last bit says that there are more flags, which this class never has.
    if fixed[..2] != BASIC.to_be_bytes() || flags & 1 != 0 {
        return None;
    }
    out.put(fixed);
    for (bit, property) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - bit)) == 0 {
            continue;
        }
        match property {
            Property::Text => out.short(&mut rest)?,
            Property::Headers if out.keep == Keep::Properties => out.no_headers(&mut rest)?,
            Property::Headers => out.nested(&mut rest, 1, Mended::entry)?,
            Property::Octet => out.copy(&mut rest, 1)?,
            Property::Time => out.copy(&mut rest, 8)?,
        }
    }
    out.put(rest);
    Some(())
}

#[derive(Clone, Copy)]
enum Property {
    Text,
    Headers,
    Octet,
    Time,
}

/// In the order of their flags, from the highest bit: content type and encoding, headers, delivery mode, priority,
/// correlation id, reply-to, expiration, message id, timestamp, type, user id, app id, cluster id.
const PROPERTIES: [Property; 14] = {
    use Property::{Headers, Octet, Text, Time};
    [Text, Text, Headers, Octet, Octet, Text, Text, Text, Text, Time, Text, Text, Text, Text]
};

fn read_method(out: &mut Mended, payload: &[u8]) -> Option<()> {
    const DELIVER: u16 = 60;
    const RETURN: u16 = 50;
    const GET_OK: u16 = 71;
    let (ids, mut rest) = payload.split_at_checked(4)?;
    if ids[..2] != BASIC.to_be_bytes() {
        return None;
    }
    out.put(ids);
    match u16::from_be_bytes([ids[2], ids[3]]) {
        // The provider's tag; the delivery's tag and whether it is redelivered.
        DELIVER => {
            out.short(&mut rest)?;
            out.copy(&mut rest, 8 + 1)?;
        }
        // A code and its text.
        RETURN => {
            out.copy(&mut rest, 2)?;
            out.short(&mut rest)?;
        }
        GET_OK => out.copy(&mut rest, 8 + 1)?,
        _ => return None,
    }
    // The exchange and the routing key.
    out.short(&mut rest)?;
    out.short(&mut rest)?;
    out.put(rest);
    Some(())
}

/// What was read so far, as it goes on. Its methods answer `None` where the input is not what it says it is; lapin has to
/// make of that what it can.
struct Mended {
    bytes: Vec<u8>,
    /// Whether what is read is written, or only looked at.
    writes: bool,
    changed: bool,
    keep: Keep,
}

impl Mended {
    fn put(&mut self, bytes: &[u8]) {
        if self.writes {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn copy(&mut self, rest: &mut &[u8], length: usize) -> Option<()> {
        self.put(take(rest, length)?);
        Some(())
    }

    /// Text with its length in one byte before it.
    fn short(&mut self, rest: &mut &[u8]) -> Option<()> {
        let length = *take(rest, 1)?.first()?;
        let text = take(rest, length.into())?;
        if std::str::from_utf8(text).is_ok() {
            self.put(&[length]);
            self.put(text);
            return Some(());
        }
        self.changed = true;
        if self.keep >= Keep::NoMore {
            self.put(&[length]);
            let ascii: Vec<u8> = text.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect();
            self.put(&ascii);
            return Some(());
        }
        let mut read = String::new();
        for c in text.iter().map(|byte| char::from(*byte)) {
            if read.len() + c.len_utf8() > MAX_SHORT {
                break;
            }
            read.push(c);
        }
        self.put(&[u8::try_from(read.len()).ok()?]);
        self.put(read.as_bytes());
        Some(())
    }

    /// A list or a table: its length in four bytes, then its items.
    fn nested(
        &mut self,
        rest: &mut &[u8],
        depth: usize,
        item: fn(&mut Self, &mut &[u8], usize) -> Option<()>,
    ) -> Option<()> {
        let mut items = take_long(rest)?;
        let at = self.bytes.len();
        self.put(&[0; 4]);
        while !items.is_empty() {
            item(self, &mut items, depth)?;
        }
        if !self.writes {
            return Some(());
        }
        let length = u32::try_from(self.bytes.len() - at - 4).ok()?;
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    /// A name and its value.
    fn entry(&mut self, rest: &mut &[u8], depth: usize) -> Option<()> {
        self.short(rest)?;
        if self.keep < Keep::Small || depth > 1 {
            return self.value(rest, depth);
        }
        let mut value = *rest;
        let mut look = Self { bytes: Vec::new(), writes: false, changed: false, keep: self.keep };
        look.value(rest, depth)?;
        let size = value.len() - rest.len();
        if size <= SMALL { self.value(&mut value, depth) } else { self.note(size) }
    }

    /// A table of one note instead of all headers.
    fn no_headers(&mut self, rest: &mut &[u8]) -> Option<()> {
        let size = take_long(rest)?.len();
        let mut table = Self { bytes: Vec::new(), writes: true, changed: true, keep: self.keep };
        table.put(&[u8::try_from(LEFT_OUT.len()).ok()?]);
        table.put(LEFT_OUT);
        table.note(size)?;
        self.put(&u32::try_from(table.bytes.len()).ok()?.to_be_bytes());
        self.put(&table.bytes);
        Some(())
    }

    /// A value that says how much is missing in its place.
    fn note(&mut self, size: usize) -> Option<()> {
        let note = format!("[{size} bytes left out]");
        self.put(b"S");
        self.put(&u32::try_from(note.len()).ok()?.to_be_bytes());
        self.put(note.as_bytes());
        Some(())
    }

    /// A value, with its type before it.
    fn value(&mut self, rest: &mut &[u8], depth: usize) -> Option<()> {
        let kind = *rest.first()?;
        match kind {
            b'A' | b'F' if depth >= MAX_DEPTH => {
                take(rest, 1)?;
                let size = take_long(rest)?.len();
                self.changed = true;
                if self.keep >= Keep::NoMore {
                    self.put(b"V");
                    return Some(());
                }
                self.note(size)
            }
            b'A' => {
                self.copy(rest, 1)?;
                self.nested(rest, depth + 1, Self::value)
            }
            b'F' => {
                self.copy(rest, 1)?;
                self.nested(rest, depth + 1, Self::entry)
            }
            b'S' | b'x' => {
                let length = u32::from_be_bytes(*rest.get(1..)?.first_chunk()?) as usize;
                self.copy(rest, length.checked_add(5)?)
            }
            _ => self.copy(rest, 1 + fixed_size(kind)?),
        }
    }
}

/// Bytes of a value of this type, where they are always as many.
fn fixed_size(kind: u8) -> Option<usize> {
    match kind {
        b'V' => Some(0),
        b't' | b'b' | b'B' => Some(1),
        b's' | b'U' | b'u' => Some(2),
        b'I' | b'i' | b'f' => Some(4),
        // A byte that says where the point is, before four of digits.
        b'D' => Some(5),
        b'L' | b'l' | b'd' | b'T' => Some(8),
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// Bytes with their length in four bytes before them.
fn take_long<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (bytes, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content_header(payload: &[u8]) -> Option<Vec<u8>> {
        super::content_header(payload, usize::MAX)
    }

    fn short(text: &[u8]) -> Vec<u8> {
        [&[u8::try_from(text.len()).expect("short")][..], text].concat()
    }

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
    }

    /// A content header with these headers alone.
    fn with_headers(table: &[u8]) -> Vec<u8> {
        [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0][..], &long(table)].concat()
    }

    fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
        [&short(name)[..], &[kind], value].concat()
    }

    /// A table with one entry, whose value is such a table, and so on.
    fn deep(depth: usize) -> Vec<u8> {
        (0..depth).fold(Vec::new(), |inner, _| entry(b"k", b'F', &long(&inner)))
    }

    #[test]
    fn names_are_read_as_latin_1() {
        let value = long(b"\xff is no text, which is no matter here");
        let inner = [entry(b"pr\xe9nom", b'S', &value), entry("nötig".as_bytes(), b'V', b"")].concat();
        let mended_inner = [entry("prénom".as_bytes(), b'S', &value), entry("nötig".as_bytes(), b'V', b"")].concat();
        let table = |inner: &[u8]| [entry(b"map", b'F', &long(inner)), entry(b"n", b'I', &[0, 0, 0, 1])].concat();
        let mended = content_header(&with_headers(&table(&inner))).expect("there is something to mend");
        assert_eq!(mended, with_headers(&table(&mended_inner)));
        assert_eq!(content_header(&mended), None);
    }

    #[test]
    fn a_name_stays_a_short_one() {
        let mended = content_header(&with_headers(&entry(&[0xe9; 255], b'V', b""))).expect("to mend");
        assert_eq!(mended, with_headers(&entry("é".repeat(127).as_bytes(), b'V', b"")));
    }

    #[test]
    fn what_is_too_deep_is_noted() {
        assert_eq!(content_header(&with_headers(&deep(MAX_DEPTH - 1))), None);
        let mended = content_header(&with_headers(&deep(10_000))).expect("to mend");
        assert!(mended.len() < 1000, "{}", mended.len());
        let note = format!("[{} bytes left out]", deep(10_000 - MAX_DEPTH).len());
        assert!(mended.ends_with(note.as_bytes()), "{mended:?}");
        let list = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| [&b"A"[..], &long(&inner)].concat());
        let mended = content_header(&with_headers(&[&short(b"list")[..], &list].concat())).expect("to mend");
        assert!(mended.len() < 1000, "{}", mended.len());
    }

    #[test]
    fn what_would_not_fit_keeps_its_length() {
        let name = |n: usize, rest: &[u8]| [format!("{n:03}").as_bytes(), &rest.repeat(124)].concat();
        let table = |rest: &[u8]| (0..900).flat_map(|n| entry(&name(n, rest), b'V', b"")).collect::<Vec<_>>();
        let sent = with_headers(&table(b"\xe9"));
        assert!(content_header(&sent).expect("to mend").len() > 131_072);
        assert_eq!(super::content_header(&sent, sent.len()), Some(with_headers(&table(b"?"))));
        // What is too deep takes less room than its note.
        let many = (0..10_000).fold(Vec::new(), |many: Vec<u8>, _| [&many[..], b"F\0\0\0\0"].concat());
        let list = (0..MAX_DEPTH - 1).fold(many, |inner, _| [&b"A"[..], &long(&inner)].concat());
        let sent = with_headers(&[&short(b"list")[..], &list].concat());
        assert!(content_header(&sent).expect("to mend").len() > 2 * sent.len());
        assert!(super::content_header(&sent, sent.len()).expect("to mend").len() < sent.len());
    }

    #[test]
    fn the_largest_headers_are_left_out_first() {
        let small = entry(b"small", b'S', &long(&[b'x'; 100]));
        let large = |n: usize| long(&vec![b'x'; n]);
        let sent = with_headers(&[&small[..], &entry(b"large", b'S', &large(4000))].concat());
        assert_eq!(super::content_header(&sent, sent.len()), None);
        let note = entry(b"large", b'S', &long(b"[4005 bytes left out]"));
        assert_eq!(super::content_header(&sent, 4000), Some(with_headers(&[small.clone(), note].concat())));
        let sent = with_headers(&small.repeat(100));
        let note = entry(LEFT_OUT, b'S', &long(format!("[{} bytes left out]", small.len() * 100).as_bytes()));
        assert_eq!(super::content_header(&sent, 4000), Some(with_headers(&note)));
    }

    #[test]
    fn properties_in_their_places() {
        let build = |id: &[u8]| {
            let fixed = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xf8];
            let texts = |names: &[&[u8]]| names.iter().flat_map(|name| short(name)).collect::<Vec<_>>();
            let parts = [
                fixed.to_vec(),
                texts(&[b"text/plain", b"gzip"]),
                long(&entry(b"a", b't', &[1])),
                vec![2, 9],
                texts(&[b"correlated", b"reply", b"60000", id]),
                1_700_000_000_u64.to_be_bytes().to_vec(),
                texts(&[b"type", b"guest", b"app"]),
            ];
            parts.concat()
        };
        assert_eq!(content_header(&build(b"id")), None);
        assert_eq!(content_header(&build(b"\xe4")), Some(build("ä".as_bytes())));
    }

    #[test]
    fn routing_keys() {
        let deliver = |key: &[u8]| {
            let parts = [&[0, 60, 0, 60][..], &short(b"tag"), &[0, 0, 0, 0, 0, 0, 0, 1, 0], &short(b"x"), &short(key)];
            parts.concat()
        };
        assert_eq!(method(&deliver(b"key")), None);
        assert_eq!(method(&deliver(b"\xfcber")), Some(deliver("über".as_bytes())));
        let returned =
            |key: &[u8]| [&[0, 60, 0, 50, 1, 56][..], &short(b"NO_ROUTE"), &short(b"x"), &short(key)].concat();
        assert_eq!(method(&returned(b"\xfcber")), Some(returned("über".as_bytes())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_mended_or_left_alone(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for table in [bytes.clone(), with_headers(&bytes), [&[0, 60, 0, 60][..], &bytes].concat()] {
                for read in [content_header, method] {
                    let mended = read(&table);
                    prop_assert_eq!(mended.and_then(|mended| read(&mended)), None);
                }
                let room = table.len() * 2 / 3;
                if let Some(less) = super::content_header(&table, room).filter(|less| less.len() <= room) {
                    prop_assert_eq!(content_header(&less), None);
                }
            }
        }
    }
}
