//! The connection to the shipper.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use cutover_model::Answer;

/// The longest line that is read: a call names versions, and a service has few.
const MAX_LINE: u64 = 4 << 20;
/// From one word that it is at work to the next.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Lines and bytes from the shipper, and lines to it.
pub(super) struct Connection {
    incoming: BufReader<UnixStream>,
    outgoing: UnixStream,
    said: Instant,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let outgoing = stream.try_clone()?;
        Ok(Self { incoming: BufReader::new(stream), outgoing, said: Instant::now() })
    }

    /// The next line; none: the shipper is done.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.incoming.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        match line.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills `bytes` with what comes next.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.incoming.read_exact(bytes)
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        self.said = Instant::now();
        self.outgoing.write_all(&answer.to_line().map_err(io::Error::other)?)
    }

    /// Says that it is at work, now and then: who hears nothing takes it for dead.
    pub(super) fn work(&mut self, looked: u64) -> io::Result<()> {
        if self.said.elapsed() < SAY_EVERY { Ok(()) } else { self.answer(&Answer::Working { looked }) }
    }
}
