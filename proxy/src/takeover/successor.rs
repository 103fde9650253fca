use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::timeout;

use super::handover::{Answer, Ask, PROTOCOL, Peer};
use crate::control::{Plane, is_own};
use crate::error::Error;

/// How long a successor may take to get ready. Control calls wait meanwhile; clients don't.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Waits for a proxy that is to take over.
#[derive(Debug)]
pub(crate) struct Succession {
    listener: UnixListener,
    sockets: Sockets,
    /// How long this proxy goes on at most once it has handed over.
    end_limit: Duration,
}

/// Copies of the open sockets.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) control: OwnedFd,
    pub(crate) http: OwnedFd,
    pub(crate) https: Option<OwnedFd>,
}

/// The proxy that has taken over.
#[derive(Debug)]
pub(crate) struct Successor {
    peer: Peer,
}

impl Succession {
    /// Listens at a path; what is there belongs to a proxy that is gone, or has handed over.
    ///
    /// # Errors
    ///
    /// [`Error::ControlSocket`].
    pub(crate) fn bind(path: &Path, sockets: Sockets, end_limit: Duration) -> Result<Self, Error> {
        let failed = |source| Error::ControlSocket { path: PathBuf::from(path), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, sockets, end_limit })
    }

    /// Returns once a successor has taken over: this proxy's control calls are refused from then on, and it must stop
    /// accepting. One that fails before is forgotten, and all goes on as it was.
    pub(crate) async fn run(self, plane: &Plane) -> Successor {
        loop {
            let peer = match self.listener.accept().await {
                // Whatever the mode of its file, or of the one before that was in its place, says.
                Ok((stream, _)) if is_own(&stream).unwrap_or_default() => Peer::new(stream),
                Ok(_) => {
                    tracing::warn!("somebody else's process wanted to take over, going on");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a successor failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match self.hand_over(peer, plane).await {
                Ok(successor) => return successor,
                Err(error) => tracing::warn!(%error, "a successor did not take over, going on"),
            }
        }
    }

    async fn hand_over(&self, mut peer: Peer, plane: &Plane) -> io::Result<Successor> {
        let wants_https = match timeout(READY_LIMIT, peer.hear()).await?? {
            Ask::TakeOver { protocol: PROTOCOL, https } => https,
            other => {
                let message = format!("this proxy hands over by protocol {PROTOCOL}, asked was {other:?}");
                peer.say(&Answer::Refused { message: message.clone() }).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        };
        let mut frozen = plane.freeze().await;
        if !frozen.is_alone().await {
            let message = "the proxy before this one has not ended yet: try again".to_owned();
            peer.say(&Answer::Refused { message: message.clone() }).await?;
            return Err(io::Error::other(message));
        }
        let offer = Answer::Offer {
            services: frozen.services(),
            end_limit: self.end_limit.as_secs(),
            challenges: frozen.challenges(),
        };
        peer.say_with(&offer, &self.sockets.wanted(wants_https)).await?;
        match timeout(READY_LIMIT, peer.hear()).await?? {
            Ask::Ready => {}
            other => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{other:?} came too early")));
            }
        }
        peer.say(&Answer::HandedOver).await?;
        frozen.hand_over();
        Ok(Successor { peer })
    }
}

impl Sockets {
    /// In the order of the handover.
    fn wanted(&self, https: bool) -> Vec<BorrowedFd<'_>> {
        let https = self.https.as_ref().filter(|_| https);
        [&self.control, &self.http].into_iter().chain(https).map(AsFd::as_fd).collect()
    }
}

impl Successor {
    /// Does as the successor says, until it is gone.
    pub(crate) async fn obey(mut self, plane: &Plane) {
        let ended: io::Result<Infallible> = async {
            loop {
                let answer = match self.peer.hear().await? {
                    Ask::Follow(ledger) => {
                        plane.follow(*ledger).await;
                        Answer::Followed
                    }
                    Ask::Busy => Answer::Busy { services: plane.freeze().await.services() },
                    other => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}"))),
                };
                self.peer.say(&answer).await?;
            }
        }
        .await;
        let Err(error) = ended;
        tracing::info!(%error, "the successor says nothing more");
    }
}
