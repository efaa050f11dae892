//! Where lines end.

use memchr::{memchr, memchr2, memrchr, memrchr2};

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// A line feed, a carriage return, or one after the other, as for Java's `readLine` and so for Kafka's reader.
    Text,
    /// A line feed alone, whatever is between.
    Binary,
}

/// Cuts lines from blocks of input.
#[derive(Debug)]
pub(super) struct Lines {
    ends: Ends,
    /// The last line ended with a carriage return: a line feed right after it belongs to the same end.
    after_return: bool,
}

impl Ends {
    /// The last byte that may end a line.
    pub(super) fn last(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Text => memrchr2(b'\n', b'\r', bytes),
            Self::Binary => memrchr(b'\n', bytes),
        }
    }

    fn first(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Text => memchr2(b'\n', b'\r', bytes),
            Self::Binary => memchr(b'\n', bytes),
        }
    }
}

impl Lines {
    pub(super) fn new(ends: Ends) -> Self {
        Self { ends, after_return: false }
    }

    pub(super) fn ends(&self) -> Ends {
        self.ends
    }

    /// The next line of a block, without what ends it, and what comes after it.
    #[inline]
    pub(super) fn next<'b>(&mut self, block: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        if block.is_empty() {
            return None;
        }
        let goes_with_return = std::mem::take(&mut self.after_return);
        let block = block.strip_prefix(b"\n").filter(|_| goes_with_return).unwrap_or(block);
        if block.is_empty() {
            return None;
        }
        let Some((line, rest)) = self.ends.first(block).and_then(|end| block.split_at_checked(end)) else {
            return Some((block, &[]));
        };
        let (end, rest) = rest.split_first()?;
        self.after_return = *end == b'\r';
        Some((line, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a text that comes in two blocks, however it is divided.
    fn lines(ends: Ends, text: &[u8]) -> Vec<String> {
        let divided = |at: usize| {
            let (mut lines, mut found) = (Lines::new(ends), Vec::new());
            // A block ends where a line does, as the input has it.
            let (first, second) = text.split_at(ends.last(&text[..at]).map_or(0, |end| end + 1));
            for mut block in [first, second] {
                while let Some((line, rest)) = lines.next(block) {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                    block = rest;
                }
            }
            found
        };
        let whole = divided(0);
        for at in 0..=text.len() {
            assert_eq!(divided(at), whole, "{:?} divided at {at}", String::from_utf8_lossy(text));
        }
        whole
    }

    #[test]
    fn each_of_the_three_ends_of_a_line_ends_it_once() {
        assert_eq!(lines(Ends::Text, b"a\nb\r\nc\rd\n\r\n\re\r\r\n"), ["a", "b", "c", "d", "", "", "e", ""]);
        assert_eq!(lines(Ends::Text, b""), [""; 0]);
        assert_eq!(lines(Ends::Text, b"\r\n"), [""]);
    }

    #[test]
    fn binary_input_ends_its_lines_with_line_feeds_alone() {
        assert_eq!(lines(Ends::Binary, b"a\r\nb\rc\n\n"), ["a\r", "b\rc", ""]);
    }
}
