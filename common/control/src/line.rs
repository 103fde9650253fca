use std::collections::VecDeque;

use serde::de::Error as _;

use crate::{Error, MAX_LINE};

/// What stands in every line that may hold a key or the credentials of an account.
const SECRETS: [&[u8]; 3] = [b"certif", b"account", b"credentials"];

/// Collects bytes as they come from a socket and hands them out line by line.
///
/// It keeps at most one unfinished line of [`MAX_LINE`] bytes, unless it is made with another limit: call [`next_line`](Self::next_line) until it gives
/// `None` after each [`extend`](Self::extend).
#[derive(Debug)]
pub struct LineBuffer {
    bytes: VecDeque<u8>,
    /// The most bytes of a line.
    limit: usize,
    /// How many bytes from the front are known to hold no newline.
    searched: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::with_limit(MAX_LINE)
    }
}

impl LineBuffer {
    /// One for lines of at most so many bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit, searched: 0 }
    }

    /// Takes in bytes that were read.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next complete line without its newline, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] when the line exceeds the limit; the connection can't be used any more.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let newline = self.bytes.range(self.searched..).position(|&byte| byte == b'\n');
        let Some(length) = newline.map(|at| at + self.searched) else {
            self.searched = self.bytes.len();
            return if self.searched > self.limit { Err(Error::TooLong) } else { Ok(None) };
        };
        if length > self.limit {
            return Err(Error::TooLong);
        }
        let line = self.bytes.drain(..length).collect();
        self.bytes.pop_front();
        self.searched = 0;
        Ok(Some(line))
    }
}

/// Writes a value as one line; `what` names it in an error.
pub(crate) fn to_line(value: &impl serde::Serialize, what: &'static str) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(value).map_err(|source| Error::Unwritable { what, source })?;
    if line.len() > MAX_LINE {
        return Err(Error::TooLong);
    }
    line.push(b'\n');
    Ok(line)
}

/// Reads a value from one line, with or without its newline; `what` names it in an error.
pub(crate) fn from_line<T: serde::de::DeserializeOwned>(line: &[u8], what: &'static str) -> Result<T, Error> {
    let malformed = |source| Error::Malformed { what, source: without_secrets(line, source) };
    serde_json::from_slice(line).map_err(malformed)
}

/// An error that repeats nothing of a line that may hold a secret, but for the place.
fn without_secrets(line: &[u8], error: serde_json::Error) -> serde_json::Error {
    let holds = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
    if !SECRETS.into_iter().any(holds) {
        return error;
    }
    let (line, column) = (error.line(), error.column());
    serde_json::Error::custom(format_args!("it can't be read at line {line} column {column}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_went_in() {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in ["{\"a\"", ":1}\n{", "}\n\n", "tail"] {
            buffer.extend(piece.as_bytes());
            while let Some(line) = buffer.next_line().unwrap() {
                lines.push(String::from_utf8(line).unwrap());
            }
        }
        assert_eq!(lines, ["{\"a\":1}", "{}", ""]);
    }

    #[test]
    fn a_line_without_end_is_an_error_and_not_a_full_memory() {
        let mut buffer = LineBuffer::default();
        buffer.extend(&vec![b'x'; MAX_LINE]);
        assert!(buffer.next_line().unwrap().is_none());
        buffer.extend(b"x");
        assert!(matches!(buffer.next_line(), Err(Error::TooLong)));
    }
}
