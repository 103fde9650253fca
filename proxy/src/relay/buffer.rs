use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Rooms of one size for bytes on their way through a worker. One is lent only while there is something in it: a connection
/// that waits has none.
#[derive(Debug)]
pub(crate) struct Rooms {
    size: usize,
    /// Nobody ever waits for this lock: only one worker's thread uses it.
    free: Mutex<Vec<Box<[u8]>>>,
}

/// What was read and is still needed.
#[derive(Debug)]
pub(crate) struct Buffer<'a> {
    rooms: &'a Rooms,
    room: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

/// Free rooms beyond this many are given back to the system.
const MOST_FREE: usize = 64;

impl Rooms {
    pub(crate) const fn new(size: usize) -> Self {
        Self { size, free: Mutex::new(Vec::new()) }
    }

    fn take(&self) -> Box<[u8]> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    fn give_back(&self, room: Box<[u8]>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MOST_FREE {
            free.push(room);
        }
    }
}

impl<'a> Buffer<'a> {
    pub(crate) const fn new(rooms: &'a Rooms) -> Self {
        Self { rooms, room: None, start: 0, end: 0 }
    }

    /// One that holds what was read elsewhere, as far as it fits.
    pub(crate) fn holding(rooms: &'a Rooms, bytes: &[u8]) -> Self {
        let mut buffer = Self::new(rooms);
        if !bytes.is_empty() {
            let mut room = rooms.take();
            buffer.end = bytes.len().min(room.len());
            room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            buffer.room = Some(room);
        }
        buffer
    }

    pub(crate) fn filled(&self) -> &[u8] {
        self.room.as_deref().and_then(|room| room.get(self.start..self.end)).unwrap_or_default()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether nothing more fits until something is consumed.
    pub(crate) const fn is_full(&self) -> bool {
        self.end - self.start == self.rooms.size
    }

    /// Reads what is there, behind what was read before; 0: the other side has closed. To be called while it isn't full.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let room = self.room.get_or_insert_with(|| self.rooms.take());
        if self.end == room.len() {
            room.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut free = ReadBuf::new(room.get_mut(self.end..).unwrap_or_default());
        let read = Pin::new(stream).poll_read(cx, &mut free).map_ok(|()| free.filled().len());
        if let Poll::Ready(Ok(length)) = read {
            self.end += length;
        }
        self.release_if_empty();
        Poll::Ready(ready!(read))
    }

    /// Forgets the first bytes.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start = self.end.min(self.start + length);
        self.release_if_empty();
    }

    fn release_if_empty(&mut self) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if let Some(room) = self.room.take() {
                self.rooms.give_back(room);
            }
        }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.start = self.end;
        self.release_if_empty();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn what_is_left_makes_room_and_an_empty_one_holds_nothing() {
        let rooms = Rooms::new(8);
        let mut buffer = Buffer::new(&rooms);
        let mut stream: &[u8] = b"abcdefghijkl";
        assert_eq!(poll_fn(|cx| buffer.poll_fill(&mut stream, cx)).await.unwrap(), 8);
        assert!(buffer.is_full());
        buffer.consume(5);
        assert_eq!(poll_fn(|cx| buffer.poll_fill(&mut stream, cx)).await.unwrap(), 4);
        assert_eq!(buffer.filled(), b"fghijkl");
        buffer.consume(7);
        assert!(buffer.is_empty() && buffer.room.is_none());
        assert_eq!(poll_fn(|cx| buffer.poll_fill(&mut stream, cx)).await.unwrap(), 0);
        assert_eq!((buffer.room.is_none(), rooms.free.lock().unwrap().len()), (true, 1));
    }
}
