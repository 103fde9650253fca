//! Logging in with a key.

use std::path::Path;
use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler};
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};

use crate::{Error, HostAddress, SshOptions};

/// Offers the key files in their order, then the keys of the agent, until one is accepted.
pub(crate) async fn authenticate<H: Handler>(
    session: &mut Handle<H>,
    address: &HostAddress,
    options: &SshOptions,
) -> Result<(), Error> {
    let mut attempt = Attempt { user: &address.user, session, tried: Vec::new(), offered: false };
    let mut unreadable = None;
    for path in &options.identities {
        match load(path).await {
            Ok(key) => match attempt.offer(key, path).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(attempt.failed(address, Some(error))),
            },
            Err(source) => {
                attempt.tried.push(format!("{} (unusable: {source})", path.display()));
                unreadable.get_or_insert(Error::KeyUnreadable { path: path.clone(), source });
            }
        }
    }
    if let Some(socket) = &options.agent {
        match attempt.offer_agent(socket).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => attempt.tried.push(format!("the agent at {} ({error})", socket.display())),
        }
    }
    match unreadable {
        Some(error) if !attempt.offered => Err(error),
        _ => Err(attempt.failed(address, None)),
    }
}

struct Attempt<'a, H: Handler> {
    user: &'a str,
    session: &'a mut Handle<H>,
    tried: Vec<String>,
    offered: bool,
}

impl<H: Handler> Attempt<'_, H> {
    async fn offer(&mut self, key: PrivateKey, path: &Path) -> Result<bool, russh::Error> {
        let hash = self.hash(&key.algorithm()).await?;
        self.offered = true;
        self.tried.push(path.display().to_string());
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        Ok(self.session.authenticate_publickey(self.user, key).await?.success())
    }

    async fn offer_agent(&mut self, socket: &Path) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let mut agent = AgentClient::connect_uds(socket).await?;
        for identity in agent.request_identities().await? {
            let key = identity.public_key().into_owned();
            let hash = self.hash(&key.algorithm()).await?;
            self.offered = true;
            self.tried.push(format!("{} of the agent", key.fingerprint(HashAlg::Sha256)));
            if let AuthResult::Success =
                self.session.authenticate_publickey_with(self.user, key, hash, &mut agent).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The hash for a signature with an RSA key, as the server has announced it (RFC 8332); other keys need none.
    async fn hash(&self, algorithm: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
        match algorithm {
            Algorithm::Rsa { .. } => Ok(self.session.best_supported_rsa_hash().await?.flatten()),
            _ => Ok(None),
        }
    }

    /// sshd hangs up after `MaxAuthTries`: an error in the midst of offering says no more than that.
    fn failed(self, address: &HostAddress, hung_up: Option<russh::Error>) -> Error {
        let mut tried = self.tried;
        if let Some(error) = hung_up {
            tried.push(format!("then the host hung up ({error})"));
        }
        Error::AuthenticationFailed { host: address.to_string(), tried }
    }
}

async fn load(path: &Path) -> Result<PrivateKey, russh::keys::Error> {
    decode_secret_key(&tokio::fs::read_to_string(path).await?, None)
}
