use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_control::{Call, LineBuffer, OLDEST_PROTOCOL, PROTOCOL, Refusal, Reply, encode_reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::{Guard, MODE};
use crate::error::Error;

/// The pause after a failed accept: the process is out of descriptors, and others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long somebody who is turned away has to say something.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// Who carries out calls.
pub(crate) trait Callee: Send + Sync + 'static {
    /// Answers one call; none: another process is to be asked. To be polled to its end: dropped in between, a change may be
    /// stored and not yet in force, until the next call or start.
    fn call(&self, call: Call) -> impl Future<Output = Option<Reply>> + Send;
}

/// This process, in words that no other one has.
pub(crate) fn instance() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Answers calls on the control socket.
#[derive(Debug)]
pub(crate) struct ControlServer<C> {
    socket: UnixListener,
    guard: Arc<Guard>,
    callee: C,
}

impl ControlServer<()> {
    /// Makes the socket. One that is left over from a proxy that is gone is removed.
    ///
    /// # Errors
    ///
    /// [`Error::ControlTaken`] when a proxy answers there, [`Error::ControlSocket`] when it can't be made.
    pub(crate) async fn bind(path: &Path, group: Option<u32>) -> Result<Self, Error> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(Error::ControlTaken { path: path.to_owned() });
        }
        let guard = Guard::new(path, group);
        let socket = make(path, group, &guard)
            .map_err(|source| Error::ControlSocket { path: path.to_owned(), source })?;
        Ok(Self { socket, guard: Arc::new(guard), callee: () })
    }

    /// The socket of a proxy that hands over, which is at the same path.
    ///
    /// # Errors
    ///
    /// [`Error::Inherited`].
    pub(crate) fn inherit(socket: OwnedFd, path: &Path, group: Option<u32>) -> Result<Self, Error> {
        let socket = UnixListener::from_std(socket.into()).map_err(Error::Inherited)?;
        Ok(Self { socket, guard: Arc::new(Guard::new(path, group)), callee: () })
    }

    pub(crate) fn with<C: Callee>(self, callee: Arc<C>) -> ControlServer<Arc<C>> {
        ControlServer { socket: self.socket, guard: self.guard, callee }
    }
}

fn make(path: &Path, group: Option<u32>, guard: &Guard) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    guard.folder()?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    if group.is_some() {
        chown(path, None, group)?;
    }
    Ok(socket)
}

impl<C: Callee> ControlServer<Arc<C>> {
    /// A copy of the socket, to be handed over.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Answers calls until the proxy is about to end; a call that has begun is answered.
    pub(crate) async fn run(self, closing: CancellationToken) {
        let callers = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (callee, closing) = (Arc::clone(&self.callee), closing.clone());
                    let guard = Arc::clone(&self.guard);
                    callers.spawn(async move {
                        let answered = match guard.admit(&stream) {
                            Ok(()) => answer(stream, &*callee, &closing).await,
                            Err(message) => turn_away(stream, message).await,
                        };
                        if let Err(error) = answered {
                            tracing::debug!(%error, "a control connection ended early");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a control connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        callers.close();
        callers.wait().await;
    }
}

async fn turn_away(mut stream: UnixStream, message: String) -> io::Result<()> {
    tracing::warn!("{message}");
    // Who has not said anything yet would fail as he does, and not read why.
    timeout(FIRST_WORDS, stream.read(&mut [0; 1024])).await.ok();
    stream.write_all(&encode(&Err(Refusal::Invalid { message }))?).await
}

async fn answer(mut stream: UnixStream, callee: &impl Callee, closing: &CancellationToken) -> io::Result<()> {
    let mut lines = LineBuffer::default();
    let mut piece = vec![0; 16 << 10];
    loop {
        let length = tokio::select! {
            () = closing.cancelled() => return Ok(()),
            length = stream.read(&mut piece) => length?,
        };
        if length == 0 {
            return Ok(());
        }
        lines.extend(piece.get(..length).unwrap_or_default());
        loop {
            let reply = match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => match Call::from_line(&line) {
                    Ok(Call { protocol, .. }) if !(OLDEST_PROTOCOL..=PROTOCOL).contains(&protocol) => {
                        let message =
                            format!("this proxy speaks protocol {PROTOCOL}, the call is in {protocol}");
                        Err(Refusal::Invalid { message })
                    }
                    Ok(call) => match callee.call(call).await {
                        Some(reply) => reply,
                        // Whoever asks again reaches the proxy that has taken over.
                        None => return Ok(()),
                    },
                    Err(error) => invalid(&error),
                },
                Err(error) => {
                    stream.write_all(&encode(&invalid(&error))?).await?;
                    return Ok(());
                }
            };
            stream.write_all(&encode(&reply)?).await?;
        }
    }
}

fn invalid(error: &cutover_control::Error) -> Reply {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Err(Refusal::Invalid { message: format!("{error}{cause}") })
}

fn encode(reply: &Reply) -> io::Result<Vec<u8>> {
    encode_reply(reply).map_err(io::Error::other)
}
