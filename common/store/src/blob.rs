//! Content on its way out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cutover_core::Digest;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, Take};

use crate::bucket::Object;
use crate::upload::CHUNK;
use crate::{Error, Result};

/// Stored content, or a part of it, to be read from front to back. In a folder it stays readable when the store forgets it.
/// What breaks off on the way from a bucket goes on where it was.
#[derive(Debug)]
pub struct Blob {
    content: Content,
    size: u64,
    read: u64,
    check: Option<Check>,
}

#[derive(Debug)]
enum Content {
    File(Take<File>),
    Object(Object),
}

/// What the whole content has to be.
#[derive(Debug)]
struct Check {
    digest: Digest,
    place: String,
    hash: Sha256,
}

impl Blob {
    pub(crate) fn of_file(file: File, size: u64) -> Self {
        Self { content: Content::File(file.take(size)), size, read: 0, check: None }
    }

    pub(crate) fn of_object(object: Object, size: u64) -> Self {
        Self { content: Content::Object(object), size, read: 0, check: None }
    }

    /// Checks the content against `digest` while it is read; `place` is where it lies, for people.
    pub(crate) fn checked(mut self, digest: &Digest, place: String) -> Self {
        self.check = Some(Check { digest: digest.clone(), place, hash: Sha256::new() });
        self
    }

    /// How many bytes there are to read in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of it, in memory.
    pub(crate) async fn collect(mut self) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.read_to_end(&mut content).await.map_err(Error::of_reading)?;
        Ok(content)
    }

    /// Reads all of it, for the check alone.
    pub(crate) async fn drain(mut self) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        while self.read(&mut chunk).await.map_err(Error::of_reading)? > 0 {}
        Ok(())
    }

    /// Takes what was read last into the check. At the end, which may be at once, it says whether the content is right.
    fn take_in(&mut self, piece: &[u8]) -> io::Result<()> {
        self.read += piece.len() as u64;
        if piece.is_empty() && self.read < self.size {
            let message = format!("the content ends after {} of {} bytes", self.read, self.size);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        let Some(check) = &mut self.check else { return Ok(()) };
        check.hash.update(piece);
        if self.read < self.size {
            return Ok(());
        }
        let Some(Check { digest, place, hash }) = self.check.take() else { return Ok(()) };
        let found = Digest::from_hash(&hash.finalize().into());
        if found == digest {
            return Ok(());
        }
        Err(io::Error::other(Error::Corrupt { digest, found, place }))
    }
}

impl AsyncRead for Blob {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(match &mut self.content {
            Content::File(file) => Pin::new(file).poll_read(cx, buffer),
            Content::Object(object) => Pin::new(object).poll_read(cx, buffer),
        })?;
        let taken = self.take_in(&buffer.filled()[before..]);
        if taken.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(taken)
    }
}
