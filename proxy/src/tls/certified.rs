use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use cutover_control::{Certificate, CertificateStatus};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::Terms;
use crate::head::host_name;
use crate::routes::route;

/// HTTP/2 comes first (RFC 9113, 3.2): it costs a client less, and the applications nothing.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate that can be shown: it was read, the key is its own, and it names somebody.
pub(crate) struct Certified {
    status: CertificateStatus,
    config: Arc<ServerConfig>,
}

/// Why a certificate can't be shown. No message holds anything of a key.
#[derive(Debug, Error)]
pub(crate) enum Unfit {
    #[error("the chain is no PEM of certificates")]
    Chain,
    #[error("the key is no PEM of a private key")]
    Key,
    #[error("the certificate can't be read: {0}")]
    Certificate(#[from] x509_cert::der::Error),
    #[error("certificate and key don't fit: {0}")]
    Pair(#[from] rustls::Error),
    #[error("the certificate names no host (as subjectAltName, RFC 9525)")]
    Nameless,
}

impl Certified {
    /// Reads a certificate; whether it is over is not looked at.
    ///
    /// # Errors
    ///
    /// [`Unfit`].
    pub(crate) fn read(certificate: &Certificate, terms: &Terms) -> Result<Self, Unfit> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect();
        let chain = chain.map_err(|_| Unfit::Chain)?;
        let status = read_status(chain.first().ok_or(Unfit::Chain)?, certificate.ordered_from.clone())?;
        let key =
            PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes()).map_err(|_| Unfit::Key)?;
        Ok(Self { status, config: terms.config(terms.pair(chain, key)?, &PROTOCOLS)? })
    }

    pub(crate) fn status(&self) -> &CertificateStatus {
        &self.status
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether it is for a host as it stands in a request, with a port or without.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let host = host_name(host);
        self.status.names.iter().any(|name| match route::wildcard(name) {
            Some(below) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(below)),
            None => host.eq_ignore_ascii_case(name),
        })
    }
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certified").field("status", &self.status).finish_non_exhaustive()
    }
}

fn read_status(
    certificate: &CertificateDer<'_>,
    ordered_from: Option<String>,
) -> Result<CertificateStatus, Unfit> {
    let certificate = x509_cert::Certificate::from_der(certificate)?;
    let signed = certificate.tbs_certificate();
    let alternatives = signed.get_extension::<SubjectAltName>()?;
    let names: Vec<String> =
        alternatives.iter().flat_map(|(_, names)| names.0.iter()).filter_map(host).collect();
    if names.is_empty() {
        return Err(Unfit::Nameless);
    }
    Ok(CertificateStatus {
        names,
        issuer: signed.issuer().to_string(),
        not_before: signed.validity().not_before.to_unix_duration().as_secs(),
        not_after: signed.validity().not_after.to_unix_duration().as_secs(),
        ordered_from,
    })
}

/// A name in the form that routes have.
fn host(name: &GeneralName) -> Option<String> {
    let text = match name {
        GeneralName::DnsName(name) => name.as_str().to_ascii_lowercase(),
        GeneralName::IpAddress(address) => text_of(address.as_bytes())?,
        _ => return None,
    };
    route::is_host(&text).then_some(text)
}

/// An address as it stands in a request: in network byte order here (RFC 5280, 4.2.1.6).
fn text_of(address: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(address) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    Some(host_of(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?))))
}

/// An address as it stands in a request.
pub(super) fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
