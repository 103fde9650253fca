use super::chunks::{Chunks, NotChunked, Scanned};

/// Where the body of an answer ends (RFC 9112, 6.3).
#[derive(Debug)]
pub(crate) enum Body {
    /// After so many bytes more, which may be none.
    Length(u64),
    /// By its own words.
    Chunked(Chunks),
    /// With the connection.
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

    /// Whether the end of the connection is the end of the body, and not of the application.
    pub(crate) const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::Close)
    }
}
