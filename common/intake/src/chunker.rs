//! Where a content is cut.

use std::io;

use bytes::{Bytes, BytesMut};
use cutover_model::Cut;
use fastcdc::v2020::FastCDC;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once, in bytes.
const READ: usize = 256 << 10;

/// The chunks of a content, one after the other.
pub(crate) struct Chunker<R> {
    content: R,
    unread: BytesMut,
    is_at_end: bool,
}

impl<R: AsyncRead + Unpin> Chunker<R> {
    pub(crate) fn new(content: R) -> Self {
        Self { content, unread: BytesMut::new(), is_at_end: false }
    }

    /// The next chunk; none at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Cut { min, usual, max } = Cut::MODELS;
        // Where a chunk ends depends on what could still be in it.
        while self.unread.len() < max && !self.is_at_end {
            self.unread.reserve(READ);
            self.is_at_end = self.content.read_buf(&mut self.unread).await? == 0;
        }
        let ahead = &self.unread[..self.unread.len().min(max)];
        let length = FastCDC::new(ahead, min, usual, max).next().map(|chunk| chunk.length);
        Ok(length.map(|length| self.unread.split_to(length).freeze()))
    }
}
