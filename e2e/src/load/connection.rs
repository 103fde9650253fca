//! One HTTP/1.1 connection, with nothing between it and the socket: what became of a request that got no answer shows
//! only there.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy, sink};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The longest line of a head, or of a chunk's size, in bytes.
const LINE_LIMIT: u64 = 16 * 1024;
/// The most lines of a head.
const HEADER_LIMIT: usize = 100;
/// How long the kernel's refusal of a request may take to come back after the end of the stream.
const REFUSAL_LIMIT: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

/// The part of an answer that the load looks at; the body was read to its end, and thrown away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The header `x-version`.
    pub(super) version: Option<String>,
    /// Whether the connection may be used again.
    pub(super) keeps_alive: bool,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The connection was closed before the request came in: no part of it was read. On a kept connection that is
    /// legal at any time, and the request may be sent again on another one (RFC 9112, sections 9.3.1 and 9.5).
    Unread,
    /// The connection ended although the peer had taken the request.
    Reset,
    /// What came was not HTTP/1.1.
    Malformed,
}

/// How the end of a body is told (RFC 9112, section 6.3).
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a whole GET request and reads the whole answer. After an error, or when dropped before its end, the
    /// connection is of no further use.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Lost> {
        self.expect_silence()?;
        // The request fits into an empty send buffer, so a failure means that the peer had closed before.
        self.stream.get_mut().write_all(request).await.map_err(|_| Lost::Unread)?;
        if self.stream.fill_buf().await.map_err(|_| Lost::Reset)?.is_empty() {
            return Err(if self.was_refused().await { Lost::Unread } else { Lost::Reset });
        }
        loop {
            let (answer, framing) = self.read_head().await?;
            // Interim answers precede the real one (RFC 9110, section 15.2).
            if !(100..200).contains(&answer.status) {
                self.read_body(framing).await?;
                return Ok(answer);
            }
        }
    }

    /// Nothing may come before a request is sent: neither an end, nor bytes that would be taken for its answer.
    fn expect_silence(&self) -> Result<(), Lost> {
        if !self.stream.buffer().is_empty() {
            return Err(Lost::Malformed);
        }
        match self.stream.get_ref().try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(1..) => Err(Lost::Malformed),
            Ok(0) | Err(_) => Err(Lost::Unread),
        }
    }

    /// Tells, after the stream has ended without an answer, a request that crossed the peer's close from one that the
    /// peer had read: the kernel answers bytes for a closed socket with a reset (RFC 9293, section 3.10.7), which
    /// then lies on ours as an error. A peer that half-closes and reads on looks like one that lost the request.
    async fn was_refused(&self) -> bool {
        const POLL: Duration = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            if matches!(self.stream.get_ref().take_error(), Ok(Some(_))) {
                return true;
            }
            if waited >= REFUSAL_LIMIT {
                return false;
            }
            sleep(POLL).await;
            waited += POLL;
        }
    }

    async fn read_head(&mut self) -> Result<(Answer, Framing), Lost> {
        let line = self.read_line().await?;
        let (protocol, rest) = line.split_once(' ').ok_or(Lost::Malformed)?;
        if !matches!(protocol, "HTTP/1.1" | "HTTP/1.0") {
            return Err(Lost::Malformed);
        }
        let status: u16 = rest.get(..3).and_then(|code| code.parse().ok()).ok_or(Lost::Malformed)?;
        let mut answer = Answer { status, version: None, keeps_alive: protocol == "HTTP/1.1" };
        let mut framing = if matches!(status, 204 | 304) { Framing::Length(0) } else { Framing::UntilClose };

        for _ in 0..HEADER_LIMIT {
            let line = self.read_line().await?;
            if line.is_empty() {
                answer.keeps_alive &= !matches!(framing, Framing::UntilClose);
                return Ok((answer, framing));
            }
            let (name, value) = line.split_once(':').ok_or(Lost::Malformed)?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" if matches!(framing, Framing::UntilClose) => {
                    framing = Framing::Length(value.parse().map_err(|_| Lost::Malformed)?);
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => framing = Framing::Chunked,
                "connection" if value.eq_ignore_ascii_case("close") => answer.keeps_alive = false,
                "x-version" => answer.version = Some(value.to_owned()),
                _ => {}
            }
        }
        Err(Lost::Malformed)
    }

    async fn read_body(&mut self, framing: Framing) -> Result<(), Lost> {
        match framing {
            Framing::Length(length) => self.skip(length).await,
            Framing::UntilClose => {
                copy(&mut self.stream, &mut sink()).await.map(drop).map_err(|_| Lost::Reset)
            }
            Framing::Chunked => loop {
                let line = self.read_line().await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16).map_err(|_| Lost::Malformed)? {
                    0 => return self.skip_trailers().await,
                    size => self.skip(size).await?,
                }
                if !self.read_line().await?.is_empty() {
                    return Err(Lost::Malformed);
                }
            },
        }
    }

    async fn skip_trailers(&mut self) -> Result<(), Lost> {
        for _ in 0..HEADER_LIMIT {
            if self.read_line().await?.is_empty() {
                return Ok(());
            }
        }
        Err(Lost::Malformed)
    }

    async fn skip(&mut self, length: u64) -> Result<(), Lost> {
        let skipped =
            copy(&mut (&mut self.stream).take(length), &mut sink()).await.map_err(|_| Lost::Reset)?;
        if skipped == length { Ok(()) } else { Err(Lost::Reset) }
    }

    /// A line without its end.
    async fn read_line(&mut self) -> Result<String, Lost> {
        let mut line = String::new();
        let read =
            (&mut self.stream).take(LINE_LIMIT).read_line(&mut line).await.map_err(|error| {
                match error.kind() {
                    io::ErrorKind::InvalidData => Lost::Malformed,
                    _ => Lost::Reset,
                }
            })?;
        match line.strip_suffix('\n') {
            Some(line) => Ok(line.strip_suffix('\r').unwrap_or(line).to_owned()),
            None if (read as u64) < LINE_LIMIT => Err(Lost::Reset),
            None => Err(Lost::Malformed),
        }
    }
}
