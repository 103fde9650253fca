//! The short way of a request: HTTP/1.1 on both sides, by copying bytes.
//!
//! Most requests have no body, ask for nothing special, and are answered by the first application that is asked. Those are
//! carried here: their heads are read where they lie, what has to change is changed, and bodies go through as they are. A
//! request that needs more than that, or that no application has answered, is handed over to the complete way
//! ([`crate::exchange`]) with its connection: there is one place that knows what
//! to do about failures.

mod body;
mod buffer;
mod chunks;
mod errand;
mod kept;
mod request_head;
mod response_head;
mod watchdog;

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clients::Client;
use crate::exchange::{Exchange, Rejection, Term, Truncated};
use crate::targets::{Kind, Lease};
use buffer::{Buffer, Rooms};
use errand::{Errand, Next, Unanswered};
use response_head::{Answered, ResponseHead, Wanted};
use watchdog::Watchdog;

pub(crate) use body::Body;
pub(crate) use chunks::Chunks;
pub(crate) use kept::{Kept, connect};
pub(crate) use request_head::{Arrived, MAX_FIELDS, RequestHead};

/// The longest head of a request in HTTP/1.1, in bytes; a client that sends a longer one gets 431.
const HEAD_ROOM: usize = 16 << 10;

/// The beginning of a connection of HTTP/2 (RFC 9113, 3.4), which no request of HTTP/1.1 has.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Bytes of an answer that are on their way at once.
const BODY_ROOM: usize = 64 << 10;

/// How long a client may be silent before and within the head of a request.
pub(crate) const HEAD_LIMIT: Duration = Duration::from_secs(75);

/// How long an idle connection of HTTP/1.1 is left open once the proxy is about to end: a request may be on its way,
/// and is then answered with `Connection: close` instead of a reset. HTTP/2 can say it itself (RFC 9113, 6.8).
pub(crate) const IDLE_GRACE: Duration = Duration::from_secs(1);

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Room {
    heads: Rooms,
    bodies: Rooms,
}

impl Default for Room {
    fn default() -> Self {
        Self { heads: Rooms::new(HEAD_ROOM), bodies: Rooms::new(BODY_ROOM) }
    }
}

/// What the short way leaves to others.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing: the connection is over.
    Ended,
    /// A request, which begins with these bytes.
    Unanswered(Bytes, Unanswered),
    /// A connection of HTTP/2, which begins with these bytes.
    Http2(Bytes),
}

/// Serves a client's connection, of which `first` was read already, as long as its requests are of the simple kind.
///
/// # Errors
///
/// When the client's connection breaks, or an answer does that has begun.
pub(crate) async fn relay<S>(
    stream: &mut S,
    first: &[u8],
    client: &Client,
    exchange: &Exchange,
    closing: &CancellationToken,
) -> Result<Outcome, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let inbox = Buffer::holding(&exchange.room().heads, first);
    let watchdog = Watchdog::new(Instant::now() + HEAD_LIMIT);
    let mut relay = Relay { stream, client, exchange, closing, inbox, watchdog };
    loop {
        let unanswered = match relay.next().await? {
            Next::Errand(errand) => match relay.carry(errand).await? {
                Carried::Answered => continue,
                Carried::Last => return Ok(Outcome::Ended),
                Carried::Unanswered(unanswered) => unanswered,
            },
            Next::Other(unanswered) => unanswered,
            Next::Refused(rejection) => {
                if let Some(log) = exchange.log() {
                    log.refused(client, &rejection);
                }
                relay.refuse(&rejection, Wanted { head_only: false, close: true }).await?;
                return Ok(Outcome::Ended);
            }
            Next::Http2 => return Ok(Outcome::Http2(relay.all())),
            Next::Nothing => return Ok(Outcome::Ended),
        };
        return Ok(Outcome::Unanswered(relay.all(), unanswered));
    }
}

/// Why a connection, or an answer on it, has ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the client's connection broke")]
    Client(#[from] io::Error),
    #[error(transparent)]
    Answer(#[from] Truncated),
}

/// What became of a request.
enum Carried {
    Answered,
    /// Answered, and the connection is over.
    Last,
    /// The client has got nothing.
    Unanswered(Unanswered),
}

/// Why nothing more comes of a request.
enum Failed {
    /// The application's connection ended or broke.
    Application(io::Error),
    /// What came from it is no answer.
    Unusable(Rejection),
    /// The limit is reached.
    Late,
    /// The application's time is over.
    Replaced,
    /// Nobody waits for it.
    ClientGone,
}

/// A client's connection.
struct Relay<'a, S> {
    stream: &'a mut S,
    client: &'a Client,
    exchange: &'a Exchange,
    closing: &'a CancellationToken,
    /// What the client has sent and nobody has answered.
    inbox: Buffer<'a>,
    watchdog: Watchdog,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relay<'_, S> {
    /// Waits for a request.
    async fn next(&mut self) -> io::Result<Next> {
        let mut limit = Instant::now() + HEAD_LIMIT;
        let mut closing = pin!(self.closing.cancelled());
        let mut is_open = true;
        loop {
            if self.inbox.filled().starts_with(PREFACE) {
                return Ok(Next::Http2);
            }
            if let Some(next) = Errand::read(self.inbox.filled(), self.client, self.exchange) {
                return Ok(next);
            }
            if self.inbox.is_full() {
                let is_line = !self.inbox.filled().contains(&b'\n');
                let too_large = if is_line { Rejection::TargetTooLong } else { Rejection::HeadTooLarge };
                return Ok(Next::Refused(too_large));
            }
            let (inbox, stream, watchdog) = (&mut self.inbox, &mut *self.stream, &mut self.watchdog);
            let read = poll_fn(|cx| {
                if let Poll::Ready(read) = inbox.poll_fill(stream, cx) {
                    return Poll::Ready(Some(read));
                }
                if is_open && closing.as_mut().poll(cx).is_ready() {
                    is_open = false;
                    limit = limit.min(Instant::now() + IDLE_GRACE);
                }
                ready!(watchdog.poll_over(limit, cx));
                Poll::Ready(None)
            });
            match read.await {
                Some(Ok(0)) | None => return Ok(Next::Nothing),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// What the client has sent, for others to answer.
    fn all(&self) -> Bytes {
        Bytes::copy_from_slice(self.inbox.filled())
    }

    fn wanted(&self, errand: &Errand) -> Wanted {
        Wanted { head_only: errand.head_only, close: errand.close || self.closing.is_cancelled() }
    }

    /// Sends a request to an application, and the answer back.
    async fn carry(&mut self, mut errand: Errand) -> Result<Carried, Broken> {
        let (worker, lease) = (self.exchange.worker(), &errand.lease);
        let target = lease.target();
        let mut answer = Buffer::new(&self.exchange.room().bodies);
        let mut reused = lease.endpoint().pool().kept().take(worker);
        let (mut application, head) = loop {
            let is_reused = reused.is_some();
            let mut application = match reused.take() {
                Some(kept) => kept,
                None => match kept::connect(lease.address(), lease.set().limits.connect).await {
                    Ok(application) => application,
                    Err(_) => {
                        lease.set().failed(target);
                        lease.set().counters.retried();
                        return Ok(Carried::Unanswered(errand.unanswered(false)));
                    }
                },
            };
            let rejection = match self.ask(&errand, &mut application, &mut answer).await {
                Ok(head) => break (application, head),
                // A kept connection that was closed says nothing about the application.
                Err(Failed::Application(_)) if is_reused && answer.is_empty() => {
                    lease.set().counters.retried();
                    continue;
                }
                Err(Failed::Application(_)) => {
                    lease.set().failed(target);
                    lease.set().counters.retried();
                    return Ok(Carried::Unanswered(errand.unanswered(true)));
                }
                Err(Failed::ClientGone) => return Ok(Carried::Last),
                Err(Failed::Late) => Rejection::TooSlow,
                Err(Failed::Replaced) => Rejection::Replaced,
                Err(Failed::Unusable(rejection)) => rejection,
            };
            if rejection.speaks_against_target(false) {
                lease.set().failed(target);
            }
            return self.give_up(errand, &rejection).await;
        };
        target.succeeded();
        lease.set().counters.answered(head.status, errand.began.elapsed());
        let (is_reusable, is_last) = (head.is_reusable, head.is_last);
        self.pass_back(&mut errand.lease, &mut application, &mut answer, head).await?;
        if is_reusable && answer.is_empty() {
            errand.lease.endpoint().pool().kept().keep(worker, application);
        }
        self.inbox.consume(errand.length);
        if is_last {
            self.stream.shutdown().await?;
            return Ok(Carried::Last);
        }
        Ok(Carried::Answered)
    }

    /// Sends a request and waits for the head of the answer.
    async fn ask(
        &mut self,
        errand: &Errand,
        application: &mut TcpStream,
        answer: &mut Buffer<'_>,
    ) -> Result<ResponseHead, Failed> {
        let limit = Some(Instant::now() + errand.lease.set().limits.response);
        let mut cut = pin!(errand.lease.target().cut(Kind::Request).cancelled());
        let mut poll_cut = |cx: &mut Context<'_>| cut.as_mut().poll(cx);
        let mut rest = errand.forwarded.as_slice();
        while !rest.is_empty() {
            let write = |cx: &mut Context<'_>| Pin::new(&mut *application).poll_write(cx, rest);
            let length = self.wait(write, &mut poll_cut, limit).await?;
            rest = rest.get(length..).unwrap_or_default();
        }
        loop {
            let read = self.wait(|cx| answer.poll_fill(application, cx), &mut poll_cut, limit).await?;
            if read == 0 {
                return Err(Failed::Application(io::ErrorKind::UnexpectedEof.into()));
            }
            loop {
                match ResponseHead::read(answer.filled(), self.wanted(errand)) {
                    Answered::Final(head) => return Ok(head),
                    Answered::Interim(length) => answer.consume(length),
                    Answered::Unusable(rejection) => return Err(Failed::Unusable(rejection)),
                    Answered::Partial if answer.is_full() => {
                        return Err(Failed::Unusable(Rejection::Unreadable));
                    }
                    Answered::Partial => break,
                }
            }
        }
    }

    /// Passes an answer on to its end.
    async fn pass_back(
        &mut self,
        lease: &mut Lease,
        application: &mut TcpStream,
        answer: &mut Buffer<'_>,
        head: ResponseHead,
    ) -> Result<(), Broken> {
        if head.is_event_stream {
            lease.becomes(Kind::Stream);
        }
        let counts = !head.status.is_server_error();
        let broke = |lease: &Lease, why: io::Error| lease.broke(Truncated::Application(why.into()), counts);
        let (mut term, mut body) = (Term::default(), head.body);
        let (mut head_length, mut instead) = (head.length, head.instead);
        loop {
            let filled = answer.filled();
            let (_, rest) = filled.split_at_checked(head_length).unwrap_or_default();
            let piece = body.scan(rest).map_err(|why| broke(lease, io::Error::other(why)))?;
            let length = head_length + piece.length;
            // Where the head goes as it came, it lies in one piece with what follows.
            let from = if instead.is_some() { head_length } else { 0 };
            let (head, bytes) =
                (instead.take().unwrap_or_default(), filled.get(from..length).unwrap_or_default());
            let [before, after] = body.frame(bytes.len());
            let poll_cut = |cx: &mut Context<'_>| term.poll_cut(lease, cx);
            write(self.stream, [&head, before.as_bytes(), bytes, after.as_bytes()], poll_cut).await?;
            lease.set().counters.passed_on(piece.content);
            answer.consume(length);
            head_length = 0;
            if piece.ended {
                return Ok(());
            }
            let limit = lease.set().limits.idle.map(|idle| Instant::now() + idle);
            let poll_cut = |cx: &mut Context<'_>| term.poll_cut(lease, cx);
            match self.wait(|cx| answer.poll_fill(application, cx), poll_cut, limit).await {
                Ok(0) => match body.end() {
                    Some(end) => return write(self.stream, [end, b"", b"", b""], |_| Poll::Pending).await,
                    None => return Err(broke(lease, io::ErrorKind::UnexpectedEof.into()).into()),
                },
                Ok(_) => {}
                Err(Failed::Application(error)) => return Err(broke(lease, error).into()),
                Err(Failed::Late) => return Err(lease.broke(Truncated::Silent, counts).into()),
                Err(Failed::Replaced | Failed::Unusable(_)) => return Err(Truncated::Replaced.into()),
                Err(Failed::ClientGone) => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            }
        }
    }

    /// Answers in the place of an application that is blamed for it.
    async fn give_up(&mut self, errand: Errand, rejection: &Rejection) -> Result<Carried, Broken> {
        errand.lease.unanswered(rejection, errand.id(), errand.began.elapsed());
        let (wanted, length) = (self.wanted(&errand), errand.length);
        // The application has nothing to do with how long a client takes to read this.
        drop(errand);
        self.refuse(rejection, wanted).await?;
        self.inbox.consume(length);
        Ok(if wanted.close { Carried::Last } else { Carried::Answered })
    }

    async fn refuse(&mut self, rejection: &Rejection, wanted: Wanted) -> io::Result<()> {
        self.stream.write_all(&response_head::refusal(rejection, wanted)).await?;
        self.stream.flush().await?;
        if wanted.close { self.stream.shutdown().await } else { Ok(()) }
    }

    /// Waits for an application, as long as it has time and the client is there. What the client sends meanwhile is kept.
    async fn wait(
        &mut self,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
        mut poll_cut: impl FnMut(&mut Context<'_>) -> Poll<()>,
        limit: Option<Instant>,
    ) -> Result<usize, Failed> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = step(cx) {
                return Poll::Ready(done.map_err(Failed::Application));
            }
            if poll_cut(cx).is_ready() {
                return Poll::Ready(Err(Failed::Replaced));
            }
            while !self.inbox.is_full() {
                match self.inbox.poll_fill(self.stream, cx) {
                    Poll::Ready(Ok(length)) if length > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Failed::ClientGone)),
                    Poll::Pending => break,
                }
            }
            match limit {
                Some(limit) => self.watchdog.poll_over(limit, cx).map(|()| Err(Failed::Late)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Sends some pieces to a client, however long it takes, but not beyond the application's time.
async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    pieces: [&[u8]; 4],
    mut poll_cut: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<(), Broken> {
    let mut pieces = pieces.map(IoSlice::new);
    let mut rest = &mut pieces[..];
    // Leaves out empty ones in front.
    IoSlice::advance_slices(&mut rest, 0);
    while let [first, others @ ..] = &*rest {
        let is_last = others.iter().all(|piece| piece.is_empty());
        let length = poll_fn(|cx| {
            let stream = Pin::new(&mut *stream);
            let written =
                if is_last { stream.poll_write(cx, first) } else { stream.poll_write_vectored(cx, rest) };
            match written {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                Poll::Ready(written) => Poll::Ready(written.map_err(Broken::Client)),
                Poll::Pending => poll_cut(cx).map(|()| Err(Truncated::Replaced.into())),
            }
        });
        let length = length.await?;
        IoSlice::advance_slices(&mut rest, length);
    }
    Ok(stream.flush().await?)
}
