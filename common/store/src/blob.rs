//! Content on its way out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, Take};

/// Stored content, or a part of it, to be read from front to back. It stays readable when the store forgets it.
#[derive(Debug)]
pub struct Blob {
    content: Take<File>,
    size: u64,
}

impl Blob {
    pub(crate) fn new(file: File, size: u64) -> Self {
        Self { content: file.take(size), size }
    }

    /// How many bytes there are to read in all.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl AsyncRead for Blob {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.content).poll_read(cx, buffer)
    }
}
