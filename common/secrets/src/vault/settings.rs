//! Where a Vault is and how it is entered, by the variables that its own tools read.

use std::path::PathBuf;

use hyper::Uri;
use hyper::http::HeaderValue;

use super::Error;
use super::credential::Credential;
use crate::variables::Variables;

/// What there is to know before the first request.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Its URL, without a slash at its end.
    pub(super) server: String,
    pub(super) namespace: Option<HeaderValue>,
    /// The certificate of the authority that signs its; none: the system's authorities.
    pub(super) authority: Option<PathBuf>,
    /// A certificate of the program's own, and its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) credential: Credential,
    /// Where the method of the credential is mounted, below `auth/`.
    pub(super) mount: String,
}

impl Settings {
    pub(crate) fn of(variables: &Variables) -> Result<Self, Error> {
        let server = variables.text("VAULT_ADDR").ok_or(Error::NoAddress)?;
        let server = server.trim_end_matches('/').to_owned();
        let uri: Uri = server.parse().map_err(|_| Error::Address)?;
        let is_server = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
        if !is_server || uri.host().is_none_or(str::is_empty) || server.contains('@') {
            return Err(Error::Address);
        }
        let namespace = variables.text("VAULT_NAMESPACE").map(HeaderValue::try_from).transpose();
        let namespace = namespace.map_err(|_| Error::Setting("VAULT_NAMESPACE"))?;
        let path = |name| variables.text(name).map(PathBuf::from);
        let certificate = path("VAULT_CLIENT_CERT").zip(path("VAULT_CLIENT_KEY"));
        let credential = Credential::of(variables, certificate.is_some())?;
        let mount = variables.text("VAULT_AUTH_MOUNT").unwrap_or_else(|| credential.usual_mount().to_owned());
        let mount = mount.trim_matches('/').to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        if !mount.chars().all(is_plain) || mount.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::Setting("VAULT_AUTH_MOUNT"));
        }
        Ok(Self { server, namespace, authority: path("VAULT_CACERT"), certificate, credential, mount })
    }
}
