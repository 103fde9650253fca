use super::chunks::{Chunks, NotChunked, Scanned};

/// Where the body of a message ends (RFC 9112, 6.3).
#[derive(Debug)]
pub(crate) enum Body {
    /// After so many bytes more, which may be none.
    Length(u64),
    /// By its own words.
    Chunked(Chunks),
    /// With the connection; of an answer only.
    Close,
}

impl Body {
    /// Reads on in what has come: how much of it belongs to the body.
    ///
    /// # Errors
    ///
    /// [`NotChunked`] where it contradicts itself.
    pub(crate) fn scan(&mut self, piece: &[u8]) -> Result<Scanned, NotChunked> {
        match self {
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= length as u64;
                Ok(Scanned { length, content: length, ended: *left == 0 })
            }
            Self::Chunked(chunks) => chunks.scan(piece),
            Self::Close => Ok(Scanned { length: piece.len(), content: piece.len(), ended: false }),
        }
    }

    /// Whether nothing more of it can come.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.has_ended(),
            Self::Close => false,
        }
    }

    /// Whether the end of the connection is the end of the body. A client is sent such a body in the chunked coding, or it
    /// could not tell its end from a failure.
    pub(crate) const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::Close)
    }

    /// What a client is sent before and after so many bytes.
    pub(crate) fn frame(&self, length: usize) -> [String; 2] {
        if self.ends_with_connection() && length > 0 {
            [format!("{length:x}\r\n"), "\r\n".to_owned()]
        } else {
            [String::new(), String::new()]
        }
    }

    /// What a client is sent when the connection has ended; none: it should not have.
    pub(crate) const fn end(&self) -> Option<&'static [u8]> {
        if self.ends_with_connection() { Some(b"0\r\n\r\n") } else { None }
    }
}
