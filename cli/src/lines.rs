//! Lines of a text, read one after the other.

use std::io::{self, BufRead as _, BufReader, Read as _};

/// A JSON object may be larger than the message in it: each byte of a body may be written as `\u0000`.
const MAX_LINE: u64 = 128 << 20;

/// Reads lines to the end, or until nobody wants them any more: `each` gets the number of a line, from 1, and its text, or why
/// there are no more.
pub(crate) fn read(input: impl io::Read, mut each: impl FnMut(u64, Result<Vec<u8>, String>) -> bool) {
    let mut input = BufReader::new(input);
    for line in 1.. {
        let mut text = Vec::new();
        match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut text) {
            Ok(0) => return,
            Ok(_) if text.last() == Some(&b'\n') => {
                text.pop();
            }
            Ok(_) if text.len() as u64 == MAX_LINE => {
                each(line, Err("the line is too long".to_owned()));
                return;
            }
            Ok(_) => {}
            Err(error) => {
                each(line, Err(format!("cannot be read: {error}")));
                return;
            }
        }
        if !each(line, Ok(text)) {
            return;
        }
    }
}
