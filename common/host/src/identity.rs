//! Logging in with a key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler};
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key,
    load_openssh_certificate,
};

use crate::ssh_config::SshConfig;
use crate::{Error, HostAddress};

/// Offers the key files in their order, each with its certificate first where it has one, then the keys of the agent, until one
/// is accepted.
pub(crate) async fn authenticate<H: Handler>(
    session: &mut Handle<H>,
    config: &SshConfig,
) -> Result<(), Error> {
    let address = &config.address;
    let mut attempt = Attempt { user: &address.user, session, tried: Vec::new(), offered: false };
    let mut unreadable = None;
    // With a file, those that aren't there are its defaults; without one, somebody has named them.
    let named = config.identities.iter().filter(|path| !config.optional || is_private(path));
    for path in named {
        match load(path).await {
            Ok(key) => match attempt.offer(key, path, &config.certificates).await {
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
    if let Some(socket) = &config.agent {
        let only = if config.identities_only { Some(public_keys(&config.identities).await) } else { None };
        match attempt.offer_agent(socket, only.as_deref()).await {
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
    async fn offer(
        &mut self,
        key: PrivateKey,
        path: &Path,
        certificates: &[PathBuf],
    ) -> Result<bool, russh::Error> {
        let key = Arc::new(key);
        if let Some((certificate, path)) = certificate_of(&key, path, certificates).await {
            self.offered = true;
            self.tried.push(path.display().to_string());
            let offered = self.session.authenticate_openssh_cert(self.user, Arc::clone(&key), certificate);
            if offered.await?.success() {
                return Ok(true);
            }
        }
        let hash = self.hash(&key.algorithm()).await?;
        self.offered = true;
        self.tried.push(path.display().to_string());
        let key = PrivateKeyWithHashAlg::new(key, hash);
        Ok(self.session.authenticate_publickey(self.user, key).await?.success())
    }

    /// With `only`, no other keys than these.
    async fn offer_agent(
        &mut self,
        socket: &Path,
        only: Option<&[PublicKey]>,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let mut agent = AgentClient::connect_uds(socket).await?;
        for identity in agent.request_identities().await? {
            let key = identity.public_key().into_owned();
            if only.is_some_and(|only| !only.iter().any(|allowed| allowed.key_data() == key.key_data())) {
                continue;
            }
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

/// The certificate of a key, and its file: `<key>-cert.pub` beside it, or one of those given.
async fn certificate_of(key: &PrivateKey, path: &Path, given: &[PathBuf]) -> Option<(Certificate, PathBuf)> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-cert.pub");
    for path in [PathBuf::from(beside)].iter().chain(given) {
        let file = path.clone();
        let loaded = tokio::task::spawn_blocking(move || load_openssh_certificate(file)).await;
        if let Ok(Ok(certificate)) = loaded
            && certificate.public_key() == key.public_key().key_data()
        {
            return Some((certificate, path.clone()));
        }
    }
    None
}

/// Whether the file is there, and no public key.
fn is_private(path: &Path) -> bool {
    path.exists() && path.extension().is_none_or(|extension| extension != "pub")
}

/// The public keys of identities: from the file that lies beside the private one, or the file itself where it is a public key; or
/// from the private key, of which that part needs no passphrase.
async fn public_keys(identities: &[PathBuf]) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for path in identities {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".pub");
        for path in [PathBuf::from(beside), path.clone()] {
            let Ok(text) = tokio::fs::read_to_string(path).await else { continue };
            let private = || PrivateKey::from_openssh(&text).ok().map(|key| key.public_key().clone());
            keys.extend(PublicKey::from_openssh(&text).ok().or_else(private));
        }
    }
    keys
}
