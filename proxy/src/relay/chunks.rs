use thiserror::Error;

/// Bytes of a size line, and of all trailers together: what is longer is no answer of an application that means well.
const MAX_LINE: u32 = 16 << 10;

/// Finds the end of a body in the chunked coding (RFC 9112, 7.1), which is passed on as it is. Only what every recipient reads
/// alike is taken: sizes in hexadecimal digits alone, lines that end with CR and LF.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes of the line, or of the trailers, so far.
    line: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Begin,
    Size(u64),
    /// After a size; some write blanks there.
    Blank(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataOver,
    /// At the beginning of a line after the last chunk.
    Trailers,
    Trailer,
    TrailerEnd,
    End,
    Over,
}

/// How far a piece goes.
#[derive(Debug, PartialEq)]
pub(crate) struct Scanned {
    /// Bytes that belong to the body.
    pub(crate) length: usize,
    /// Of those, the ones that are content.
    pub(crate) content: usize,
    pub(crate) ended: bool,
}

/// What a body says is not in the chunked coding.
#[derive(Debug, Error)]
#[error("the body is not in the chunked coding that its head promises")]
pub(crate) struct NotChunked;

impl Chunks {
    /// Reads on.
    ///
    /// # Errors
    ///
    /// [`NotChunked`]; nothing of the piece is to be passed on.
    pub(crate) fn scan(&mut self, piece: &[u8]) -> Result<Scanned, NotChunked> {
        let (mut at, mut content) = (0, 0);
        while self.state != State::Over
            && let Some(&byte) = piece.get(at)
        {
            if let State::Data(left) = self.state {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len() - at);
                (at, content) = (at + taken, content + taken);
                let left = left - taken as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                continue;
            }
            self.state = self.step(byte)?;
            at += 1;
        }
        Ok(Scanned { length: at, content, ended: self.has_ended() })
    }

    /// Whether the last chunk, and the trailers, are over.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == State::Over
    }

    fn step(&mut self, byte: u8) -> Result<State, NotChunked> {
        self.line += 1;
        let next = match (self.state, byte) {
            (State::Begin, _) => State::Size(digit(0, byte)?),
            (State::Size(size) | State::Blank(size) | State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Size(size) | State::Blank(size), b' ' | b'\t') => State::Blank(size),
            (State::Size(size) | State::Blank(size), b';') => State::Extension(size),
            (State::Size(size), _) => State::Size(digit(size, byte)?),
            (State::Extension(size), byte) if is_text(byte) => State::Extension(size),
            (State::SizeEnd(0), b'\n') => State::Trailers,
            (State::SizeEnd(size), b'\n') => State::Data(size),
            (State::DataEnd, b'\r') => State::DataOver,
            (State::DataOver, b'\n') => State::Begin,
            (State::Trailers, b'\r') => State::End,
            (State::Trailers | State::Trailer, byte) if is_text(byte) => State::Trailer,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::Trailers,
            (State::End, b'\n') => State::Over,
            _ => return Err(NotChunked),
        };
        match next {
            State::Data(_) | State::Begin => self.line = 0,
            _ if self.line > MAX_LINE => return Err(NotChunked),
            _ => {}
        }
        Ok(next)
    }
}

fn digit(size: u64, byte: u8) -> Result<u64, NotChunked> {
    let digit = char::from(byte).to_digit(16).ok_or(NotChunked)?;
    size.checked_mul(16).map(|size| size | u64::from(digit)).ok_or(NotChunked)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_body_ends_in_the_same_place_however_it_is_cut() {
        for (body, content) in [
            (&b"0\r\n\r\n"[..], 0),
            (b"5\r\nhello\r\n0\r\n\r\n", 5),
            (b"00a;x=\"y\"\r\n0123456789\r\n1 \r\n\n\r\n0\r\nDigest: 1\r\nx:\r\n\r\n", 11),
        ] {
            for size in 1..=body.len() {
                let (mut chunks, mut seen) = (Chunks::default(), 0);
                let whole = [body, b"HTTP/1.1"].concat();
                let (mut at, mut ended) = (0, false);
                for piece in whole.chunks(size) {
                    let scanned = chunks.scan(piece).unwrap();
                    (at, seen, ended) = (at + scanned.length, seen + scanned.content, scanned.ended);
                }
                assert_eq!((at, seen, ended), (body.len(), content, true), "{size}");
            }
        }
    }

    #[test]
    fn what_two_recipients_could_read_differently_is_no_body() {
        for body in [
            &b"\r\n"[..],
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 5\r\nhello\r\n",
            b"5 x\r\nhello\r\n",
            b"-1\r\n",
            b"1ffffffffffffffff\r\n",
            b"5;a\nb\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"0\r\nx: \0\r\n\r\n",
            b"0\r\n\n",
        ] {
            assert!(Chunks::default().scan(body).is_err(), "{body:?}");
        }
        let endless = [b"5;", &[b'x'; MAX_LINE as usize][..]].concat();
        assert!(Chunks::default().scan(&endless).is_err());
        let trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(3_000)].concat();
        assert!(Chunks::default().scan(&trailers).is_err());
    }
}
