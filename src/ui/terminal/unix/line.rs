//! A line as it is typed.

use rustix::process::Signal;
use zeroize::Zeroizing;

use crate::process::secret_program::utf8;

/// The most that is kept of a line, in bytes; what goes beyond is thrown away.
pub(super) const LONGEST: usize = 256;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter,
    Erase,
    EraseAll,
    EndOfLine,
    EndOfFile,
    Sends(Signal),
}

/// What was typed so far. Its place in memory does not change, and is wiped.
pub(super) struct Line(Zeroizing<Vec<u8>>);

impl Default for Line {
    fn default() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(LONGEST)))
    }
}

impl Line {
    pub(super) fn push(&mut self, byte: u8) {
        if self.0.len() < LONGEST {
            self.0.push(byte);
        }
    }

    /// Takes the last character away, or the last byte where the terminal's characters are not those of UTF-8.
    pub(super) fn erase(&mut self) {
        let last = std::str::from_utf8(&self.0).ok().and_then(|text| text.chars().next_back());
        let length = self.0.len().saturating_sub(last.map_or(1, char::len_utf8));
        self.0.truncate(length);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without copying it; `None` if it is not UTF-8.
    pub(super) fn text(self) -> Option<Zeroizing<String>> {
        utf8(self.0)
    }

    /// What is no secret.
    pub(super) fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).trim_end_matches('\r').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Line {
        let mut line = Line::default();
        bytes.iter().for_each(|byte| line.push(*byte));
        line
    }

    #[test]
    fn erases_a_character_whatever_its_length() {
        let mut line = typed("z\u{fc}\u{20ac}".as_bytes());
        line.erase();
        line.erase();
        assert_eq!(*line.text().unwrap(), "z");
        let mut line = typed(b"z\xfc\xbf");
        line.erase();
        line.erase();
        line.erase();
        line.erase();
        assert!(line.is_empty());
    }

    #[test]
    fn keeps_its_place_and_its_length() {
        let line = typed(&[b'x'; 3 * LONGEST]);
        assert_eq!((line.0.len(), line.0.capacity()), (LONGEST, LONGEST));
    }

    #[test]
    fn what_is_not_utf8_is_no_text() {
        assert!(typed(b"z\xfcrich1").text().is_none());
    }
}
