//! The authorities that a server's certificate is checked by.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::Error;

/// Authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Those that this machine trusts.
    System,
    /// Those in a file of PEM.
    File(PathBuf),
}

impl Roots {
    /// Their certificates, at least one.
    ///
    /// # Errors
    /// When there are none, or they can't be read.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        match self.read() {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.error("there is no certificate of an authority".into()))
            }
            read => read.map_err(|source| self.error(source)),
        }
    }

    fn read(&self) -> Result<Vec<CertificateDer<'static>>, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::File(path) => Ok(CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?),
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                match found.errors.into_iter().next() {
                    Some(error) if found.certs.is_empty() => Err(error.into()),
                    _ => Ok(found.certs),
                }
            }
        }
    }

    /// That they can't be used.
    pub(crate) fn error(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        let file = match self {
            Self::System => "of this machine".to_owned(),
            Self::File(path) => format!("in {}", path.display()),
        };
        Error::Authorities { file, source }
    }
}
