//! An SSH agent for one key, for programs that are to sign with it and not to have it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream;
use russh::keys::agent::client::AgentClient;
use russh::keys::agent::server::{Agent, MessageType, serve};
use russh::keys::decode_secret_key;
use tokio::io::{DuplexStream, copy_bidirectional};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::{Error, Stream};

/// The connections that may wait to be served.
const WAITING: usize = 16;

/// Bytes that wait in each direction of a connection: the largest usual message is a signature with its data.
const BUFFER: usize = 64 * 1024;

/// An SSH agent inside this program. It holds one key, signs with it, and takes no others; no file or socket of it exists.
#[derive(Debug)]
pub struct KeyAgent {
    connections: mpsc::Sender<DuplexStream>,
    serving: JoinHandle<()>,
}

impl KeyAgent {
    /// An agent with the private key `key`, in any format that OpenSSH writes, without a passphrase. `name` is what the key is
    /// called in errors.
    ///
    /// # Errors
    /// [`Error::KeyUnusable`] where it isn't such a key.
    pub async fn new(name: &str, key: &str) -> Result<Self, Error> {
        let unusable = |source| Error::KeyUnusable { name: name.to_owned(), source };
        let key = decode_secret_key(key, None).map_err(unusable)?;
        let (connections, mut incoming) = mpsc::channel::<DuplexStream>(WAITING);
        let filling = Filling(Arc::new(AtomicBool::new(true)));
        let serving = tokio::spawn({
            let filling = filling.clone();
            async move {
                let incoming = stream::poll_fn(move |cx| incoming.poll_recv(cx).map(|next| next.map(Ok)));
                if let Err(error) = serve(incoming, filling).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "an SSH agent ended");
                }
            }
        });
        let agent = Self { connections, serving };
        let added = AgentClient::connect(agent.stream().await).add_identity(&key, &[]).await;
        filling.0.store(false, Ordering::Release);
        added.map_err(unusable).map(|()| agent)
    }

    /// A connection to it, which speaks the protocol of SSH agents (draft-miller-ssh-agent).
    pub async fn connect(&self) -> Stream {
        Stream::new(self.stream().await)
    }

    /// Listens on a new unix socket at `path`, for programs that are told of it (`SSH_AUTH_SOCK`), until what is answered is
    /// dropped. Whoever may enter the folder may have the agent sign.
    ///
    /// # Errors
    /// A path where no socket can be made.
    pub fn listen(self, path: &Path) -> std::io::Result<ListeningAgent> {
        let listener = UnixListener::bind(path)?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut agent = self.stream().await;
                connections.spawn(async move { copy_bidirectional(&mut client, &mut agent).await });
            }
        });
        Ok(ListeningAgent(accepting))
    }

    /// Where nobody serves any more, the other end is closed: the client reads that at once.
    async fn stream(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        self.connections.send(theirs).await.ok();
        ours
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An agent that listens on a socket.
#[derive(Debug)]
pub struct ListeningAgent(JoinHandle<()>);

impl Drop for ListeningAgent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the agent does: while it is being filled it takes a key, afterwards it shows and uses it.
#[derive(Clone)]
struct Filling(Arc<AtomicBool>);

impl Agent for Filling {
    async fn confirm_request(&self, message: MessageType) -> bool {
        match message {
            MessageType::RequestKeys | MessageType::Sign => true,
            MessageType::AddKeys => self.0.load(Ordering::Acquire),
            MessageType::RemoveKeys
            | MessageType::RemoveAllKeys
            | MessageType::Lock
            | MessageType::Unlock => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn it_shows_its_key_and_takes_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, kind: &str| {
            let path = folder.path().join(name);
            let options = ["-q", "-N", "", "-t", kind, "-f"];
            assert!(Command::new("ssh-keygen").args(options).arg(&path).status().unwrap().success());
            std::fs::read_to_string(path).unwrap()
        };
        for kind in ["ed25519", "rsa", "ecdsa"] {
            let agent = KeyAgent::new("deploy", &make(kind, kind)).await.unwrap();
            let mut client = AgentClient::connect(agent.stream().await);
            assert_eq!(client.request_identities().await.unwrap().len(), 1, "{kind}");
            let other = decode_secret_key(&make(&format!("{kind}-other"), "ed25519"), None).unwrap();
            assert!(client.add_identity(&other, &[]).await.is_err());
            assert_eq!(client.request_identities().await.unwrap().len(), 1, "{kind}");
        }
    }

    #[tokio::test]
    async fn openssh_finds_it_at_its_socket_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (key, socket) = (folder.path().join("key"), folder.path().join("agent"));
        let options = ["-q", "-N", "", "-t", "ed25519", "-f"];
        assert!(Command::new("ssh-keygen").args(options).arg(&key).status().unwrap().success());
        let agent = KeyAgent::new("key", &std::fs::read_to_string(&key).unwrap()).await.unwrap();
        let listening = agent.listen(&socket).unwrap();
        let sign = || {
            let mut command = tokio::process::Command::new("ssh-add");
            command.arg("-T").arg(key.with_extension("pub")).env("SSH_AUTH_SOCK", &socket).output()
        };
        assert!(sign().await.unwrap().status.success());
        drop(listening);
        assert!(!sign().await.unwrap().status.success());
    }

    #[tokio::test]
    async fn what_is_no_key_is_named_and_not_shown() {
        let error = KeyAgent::new("file:///key", "hunter2").await.unwrap_err();
        assert!(matches!(&error, Error::KeyUnusable { name, .. } if name == "file:///key"), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
