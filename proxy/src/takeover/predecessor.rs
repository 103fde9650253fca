use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use cutover_control::{Challenge, ServiceStatus};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::handover::{Answer, Ask, PROTOCOL, Peer};
use crate::control::{Ledger, is_own, look_at_folder};
use crate::error::Error;

/// How long the other proxy may take to hand over: it has nothing to wait for but a call that it is carrying out.
const LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to answer afterwards: whoever asks this one waits for it.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What it gets beyond its own limit until it is taken for ended.
const MARGIN: Duration = Duration::from_secs(5);

/// The pause before another try, where it isn't there yet.
const AGAIN: Duration = Duration::from_millis(20);

/// The proxy that served here before, and finishes what it has in flight.
///
/// It goes on as its successor is told: until the last of its clients has gone, a request may still come on a connection
/// that it has.
#[derive(Debug)]
pub(crate) struct Predecessor {
    peer: Peer,
    end_limit: Duration,
    /// It has not answered, and what it says now would be the answer to another question: it may go on until then.
    silent_until: Option<Instant>,
}

/// Why the other proxy says nothing.
#[derive(Debug)]
pub(crate) enum Gone {
    /// It has ended.
    Ended,
    /// It may still have something in flight.
    Silent,
}

/// What the other proxy gives away.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// The one that gives it; it waits for [`Predecessor::relieve`], and goes on as before if that never comes.
    pub(crate) predecessor: Predecessor,
    /// Its control socket.
    pub(crate) control: OwnedFd,
    /// Its socket for HTTP.
    pub(crate) http: OwnedFd,
    /// Its socket for HTTPS, where it has one and it was wanted.
    pub(crate) https: Option<OwnedFd>,
    /// What became of its requests so far.
    pub(crate) services: Vec<ServiceStatus>,
    /// What a certificate authority may still ask.
    pub(crate) challenges: Vec<Challenge>,
}

impl Predecessor {
    /// Asks the proxy that waits at `path` for its sockets, the one for HTTPS only where that is wanted; none: nobody does. It
    /// changes nothing from then on. Where one answers on its `control` socket alone, it has just taken over itself, and is
    /// waited for.
    ///
    /// # Errors
    ///
    /// [`Error::TakeOver`] when it refuses, doesn't answer, or is another user's, or may be, as others may write to its folder.
    pub(crate) async fn meet(
        path: &Path,
        control: &Path,
        group: Option<u32>,
        https: bool,
    ) -> Result<Option<Inheritance>, Error> {
        let failed = |source| Error::TakeOver { path: path.to_owned(), source };
        match look_at_folder(control, group) {
            // The first proxy here makes it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            looked => looked.map_err(failed)?,
        }
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(path).await {
                Ok(stream) => break stream,
                Err(_) if began.elapsed() > LIMIT || UnixStream::connect(control).await.is_err() => {
                    return Ok(None);
                }
                Err(_) => sleep(AGAIN).await,
            }
        };
        if !is_own(&stream).map_err(failed)? {
            let message = "who waits there is neither root nor the user that this proxy runs as";
            return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, message)));
        }
        let mut predecessor = Self { peer: Peer::new(stream), end_limit: Duration::ZERO, silent_until: None };
        let answer =
            predecessor.ask(&Ask::TakeOver { protocol: PROTOCOL, https }, LIMIT).await.map_err(failed)?;
        let (services, challenges) = match answer {
            Answer::Offer { services, end_limit, challenges } => {
                predecessor.end_limit = Duration::from_secs(end_limit);
                (services, challenges)
            }
            Answer::Refused { message } => return Err(failed(io::Error::other(message))),
            other => return Err(failed(unexpected(&other))),
        };
        let mut sockets = predecessor.peer.take_sockets().into_iter();
        let (Some(control), Some(http), https) = (sockets.next(), sockets.next(), sockets.next()) else {
            let message = "the sockets for calls and for HTTP did not come";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
        };
        Ok(Some(Inheritance { predecessor, control, http, https, services, challenges }))
    }

    /// Everything is ready here: it accepts nothing more from then on.
    ///
    /// # Errors
    ///
    /// When it is gone, or has lost its patience: then it may still be accepting.
    pub(crate) async fn relieve(&mut self) -> io::Result<()> {
        match self.ask(&Ask::Ready, LIMIT).await? {
            Answer::HandedOver => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has it follow what was decided here.
    ///
    /// # Errors
    ///
    /// When it has ended, or doesn't answer.
    pub(crate) async fn follow(&mut self, ledger: &Ledger) -> Result<(), Gone> {
        match self.question(&Ask::Follow(Box::new(ledger.clone()))).await? {
            Answer::Followed => Ok(()),
            other => Err(self.lost(&unexpected(&other))),
        }
    }

    /// What it still has in flight.
    ///
    /// # Errors
    ///
    /// When it has ended, or doesn't answer.
    pub(crate) async fn busy(&mut self) -> Result<Vec<ServiceStatus>, Gone> {
        match self.question(&Ask::Busy).await? {
            Answer::Busy { services } => Ok(services),
            other => Err(self.lost(&unexpected(&other))),
        }
    }

    async fn question(&mut self, ask: &Ask) -> Result<Answer, Gone> {
        match self.silent_until {
            None => self.ask(ask, ANSWER_LIMIT).await.map_err(|error| self.lost(&error)),
            Some(until) if Instant::now() < until => Err(Gone::Silent),
            Some(_) => Err(Gone::Ended),
        }
    }

    /// Only a connection that was closed says that nothing is in flight there any more.
    fn lost(&mut self, error: &io::Error) -> Gone {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        if [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind()) {
            tracing::info!("the proxy before this one has ended");
            return Gone::Ended;
        }
        tracing::warn!(%error, "the proxy before this one does not answer");
        self.silent_until = Some(Instant::now() + self.end_limit + MARGIN);
        Gone::Silent
    }

    async fn ask(&mut self, ask: &Ask, limit: Duration) -> io::Result<Answer> {
        let answered = async {
            self.peer.say(ask).await?;
            self.peer.hear().await
        };
        timeout(limit, answered).await?
    }
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other proxy answered something else: {answer:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use cutover_control::{Call, Request, Response};

    use super::*;
    use crate::control::{Callee, Plane, Store};
    use crate::routes::RouteTable;
    use crate::tls::{Custody, Tls};

    #[tokio::test]
    async fn whoever_goes_before_it_has_answered_leaves_no_answer_unread() {
        let folder = tempfile::tempdir().unwrap();
        let (store, ledger) = Store::open(folder.path()).unwrap();
        let custody = Custody::open(store.clone(), Arc::new(Tls::new(None, 80).unwrap())).unwrap();
        let plane = Arc::new(Plane::start(store, ledger, custody, Arc::new(RouteTable::default()), 1).await);
        let (here, there) = UnixStream::pair().unwrap();
        let peer = Peer::new(here);
        let predecessor = Predecessor { peer, end_limit: Duration::ZERO, silent_until: None };
        plane.succeed(predecessor, &[], Vec::new()).await;

        let mut other = Peer::new(there);
        let asking = Arc::clone(&plane);
        let scrape = tokio::spawn(async move { asking.services().await });
        assert!(matches!(other.hear().await.unwrap(), Ask::Busy));
        scrape.abort();
        assert!(scrape.await.unwrap_err().is_cancelled());
        let busy = || Answer::Busy { services: Vec::new() };
        other.say(&busy()).await.unwrap();
        tokio::spawn(async move {
            while let Ok(ask) = other.hear().await {
                let answer = if matches!(ask, Ask::Follow(_)) { Answer::Followed } else { busy() };
                other.say(&answer).await.unwrap();
            }
        });
        let key = "production/app".parse().unwrap();
        for request in [Request::Adopt { key, journal: "j".to_owned() }, Request::Status] {
            let reply = plane.call(Call::new(request)).await.unwrap();
            assert!(matches!(reply, Ok(Response::Adopted | Response::Status { .. })), "{reply:?}");
        }
    }
}
