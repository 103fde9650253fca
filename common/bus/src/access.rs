//! How the bus is reached, and as whom.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use cutover_core::BusUser;

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

/// The files by which a bus is entered, as they are set; an empty one is as good as none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    /// The key of a user.
    pub key: Option<&'a OsStr>,
    /// The certificates that the server's is verified by.
    pub roots: Option<&'a OsStr>,
    /// A certificate of the client's own.
    pub certificate: Option<&'a OsStr>,
    /// Its key.
    pub certificate_key: Option<&'a OsStr>,
}

impl Access {
    /// To a bus that tells no users apart, or tells them by a password in the address.
    pub fn open(url: &str) -> Self {
        Self { url: url.to_owned(), key: None, roots: None, certificate: None }
    }

    /// By these files.
    ///
    /// # Errors
    /// A key that can't be read.
    pub fn by(url: &str, files: Files<'_>) -> Result<Self, KeyError> {
        let set = |file: Option<&OsStr>| file.filter(|file| !file.is_empty()).map(PathBuf::from);
        let key = set(files.key).map(|file| Key::read(&file)).transpose()?.map(Arc::new);
        let certificate = set(files.certificate).zip(set(files.certificate_key));
        Ok(Self { url: url.to_owned(), key, roots: set(files.roots), certificate })
    }

    /// Whose connection it is; none: the bus tells no users apart.
    pub fn user(&self) -> Option<BusUser> {
        self.key.as_ref().map(|key| key.user())
    }
}
