//! How the bus is reached, and as whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Key, KeyError};

/// How the bus is reached, and as whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// `nats://host:port` or `tls://host:port`, with `user:password@` before the host where there is no key; or several of
    /// them with commas between, where any server of a cluster will do.
    pub url: String,
    /// Whose connection it is; none: the bus tells no users apart.
    pub key: Option<Arc<Key>>,
    /// A PEM file with the certificates that the server's is verified by; none: those that the system trusts.
    pub roots: Option<PathBuf>,
    /// PEM files with a certificate of the client's own and its key, for a server that asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Access {
    /// To a bus that tells no users apart, or tells them by a password in the address.
    pub fn open(url: &str) -> Self {
        Self { url: url.to_owned(), key: None, roots: None, certificate: None }
    }

    /// The same as another user, whose key is in a file.
    ///
    /// # Errors
    /// A file that holds no key.
    pub fn with_key_of(mut self, file: &Path) -> Result<Self, KeyError> {
        self.key = Some(Arc::new(Key::read(file)?));
        Ok(self)
    }
}
