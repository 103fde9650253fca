//! What a container writes, as Docker keeps it with the time of each piece: read on after a lost connection where it ended. Pure.

use std::time::UNIX_EPOCH;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// A line that has no end yet.
    open: Vec<u8>,
    /// The time of the last piece, as Docker writes it: always as long, so that it is ordered as text.
    last: String,
    /// How many pieces had that time.
    equal: usize,
    /// How many of those are still to come once more; none: it is read on.
    known: Option<usize>,
}

impl Output {
    /// From when on it is to be read, in whole seconds since 1970: what is known from there on comes once more.
    pub(super) fn read_on(&mut self) -> i32 {
        self.known = Some(self.equal);
        let last = humantime::parse_rfc3339(&self.last).ok();
        let since = last.and_then(|last| last.duration_since(UNIX_EPOCH).ok());
        since.and_then(|since| i32::try_from(since.as_secs()).ok()).unwrap_or_default()
    }

    /// Takes a piece in: its time, a space, and what was written. Answers with the lines that end in it.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<String> {
        let end = piece.iter().position(|byte| *byte == b' ').unwrap_or(piece.len());
        let (time, rest) = piece.split_at(end);
        let time = String::from_utf8_lossy(time);
        if self.is_known(&time) {
            return Vec::new();
        }
        if self.last == *time {
            self.equal += 1;
        } else {
            (self.last, self.equal) = (time.into_owned(), 1);
        }
        self.open.extend_from_slice(rest.get(1..).unwrap_or_default());
        let mut lines = Vec::new();
        while let Some(end) = self.open.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            lines.push(text(&line));
        }
        lines
    }

    /// What has no end.
    pub(super) fn rest(&mut self) -> Option<String> {
        let open = std::mem::take(&mut self.open);
        (!open.is_empty()).then(|| text(&open))
    }

    /// Whether a piece of that time was read before.
    fn is_known(&mut self, time: &str) -> bool {
        let Some(known) = self.known else { return false };
        if time > self.last.as_str() || time == self.last && known == 0 {
            self.known = None;
            return false;
        }
        if time == self.last {
            self.known = Some(known - 1);
        }
        true
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [&str; 5] = [
        "2026-11-27T12:00:00.100000000Z one\n",
        "2026-11-27T12:00:01.200000000Z tw",
        "2026-11-27T12:00:01.200000000Z o\n",
        "2026-11-27T12:00:01.200000000Z three\n",
        "2026-11-27T12:00:02.000000000Z four",
    ];

    /// The lines of what is read in two goes, the first of which ends after so many pieces.
    fn read(first: usize, since: usize) -> Vec<String> {
        let mut output = Output::default();
        let mut lines: Vec<String> =
            PIECES.iter().take(first).flat_map(|piece| output.take(piece.as_bytes())).collect();
        output.read_on();
        lines.extend(PIECES.iter().skip(since).flat_map(|piece| output.take(piece.as_bytes())));
        lines.extend(output.rest());
        lines
    }

    #[test]
    fn each_line_is_told_once_wherever_the_connection_was_lost() {
        for first in 0..=PIECES.len() {
            assert_eq!(read(first, 0), ["one", "two", "three", "four"], "after {first} pieces");
        }
        for first in 2..=PIECES.len() {
            assert_eq!(read(first, 1), ["one", "two", "three", "four"], "after {first} pieces");
        }
    }

    #[test]
    fn it_is_read_on_from_the_second_of_what_came_last() {
        let mut output = Output::default();
        assert_eq!(output.read_on(), 0);
        output.take(b"2026-11-27T12:00:01.200000000Z a\n");
        assert_eq!(output.read_on(), 1_795_780_801);
    }
}
