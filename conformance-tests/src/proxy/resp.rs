//! Where the commands and replies of a Redis stream end.
//!
//! Both are made of the same parts (RESP, versions 2 and 3): a line that begins with a letter of its type, and for some
//! types so many bytes, or so many further parts.

/// Follows one direction of one Redis connection, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The line that is being read, as far as it is known.
    line: Vec<u8>,
    /// Bytes of a text until it, and the line break behind it, ends.
    text: usize,
    /// How many parts are still to come of each list that is open, the outermost first.
    open: Vec<u64>,
}

impl Replies {
    /// Whether a stream that begins with this byte is one of Redis.
    pub(super) fn begin_with(byte: u8) -> bool {
        b"*$+-:%~>_#,(=!|".contains(&byte)
    }

    /// How many bytes into the chunk each command or reply ends.
    pub(super) fn ends(&mut self, chunk: &[u8]) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < chunk.len() {
            if self.text > 0 {
                let take = self.text.min(chunk.len() - at);
                self.text -= take;
                at += take;
                if self.text == 0 && self.part_ends() {
                    ends.push(at);
                }
                continue;
            }
            self.line.push(chunk[at]);
            at += 1;
            if self.line.ends_with(b"\r\n") && self.line_ends() {
                ends.push(at);
            }
        }
        ends
    }

    /// A line is complete; whether the command or reply ends with it.
    fn line_ends(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        // No number, or one below zero, stands for nothing at all.
        let number = line.get(1..line.len() - 2).and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
        match (line[0], number) {
            (b'$' | b'=' | b'!', Some(length)) => {
                self.text = usize::try_from(length).unwrap_or(usize::MAX - 2) + 2;
                false
            }
            (b'*' | b'~' | b'>', Some(parts @ 1..)) => {
                self.open.push(parts);
                false
            }
            (b'%', Some(pairs @ 1..)) => {
                self.open.push(pairs * 2);
                false
            }
            // Beside its pairs, the part that they are about.
            (b'|', Some(pairs)) => {
                self.open.push(pairs * 2 + 1);
                false
            }
            _ => self.part_ends(),
        }
    }

    /// A part is complete; whether the command or reply ends with it.
    fn part_ends(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_reply_however_the_stream_is_cut() {
        let replies: [&[u8]; 9] = [
            b"+OK\r\n",
            b"$5\r\na\r\nbc\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n:1\r\n*2\r\n$0\r\n\r\n-no\r\n",
            b"%1\r\n+key\r\n*1\r\n_\r\n",
            b"|1\r\n+ttl\r\n:3\r\n*1\r\n#t\r\n",
            b":-7\r\n",
        ];
        let stream = replies.concat();
        let expected: Vec<usize> = replies
            .iter()
            .scan(0, |sum, reply| {
                Some({
                    *sum += reply.len();
                    *sum
                })
            })
            .collect();
        for size in 1..=stream.len() {
            let (mut replies, mut ends) = (Replies::default(), Vec::new());
            for (index, chunk) in stream.chunks(size).enumerate() {
                ends.extend(replies.ends(chunk).into_iter().map(|end| index * size + end));
            }
            assert_eq!(ends, expected, "in chunks of {size}");
        }
    }
}
