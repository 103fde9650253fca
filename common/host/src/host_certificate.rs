//! Certificates of hosts, as OpenSSH's PROTOCOL.certkeys describes them.

use std::time::SystemTime;

use russh::keys::Certificate;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::ssh_key::certificate::CertType;

use crate::known_hosts::glob;

/// Accepts the certificate that a host shows, or says why not. One without names is for no host: OpenSSH takes it for one of
/// all.
pub(crate) fn check(
    certificate: &Certificate,
    host: &str,
    authorities: Vec<Fingerprint>,
) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("it is not the certificate of a host".to_owned());
    }
    if !authorities.contains(&certificate.signature_key().fingerprint(Default::default())) {
        return Err("no @cert-authority of that key is recorded for it".to_owned());
    }
    let host = host.to_ascii_lowercase();
    let names = certificate.valid_principals();
    let is_for = |name: &String| glob(name.to_ascii_lowercase().as_bytes(), host.as_bytes());
    if !names.iter().any(is_for) {
        return Err(format!(
            "it is for {}",
            if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
        ));
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("it asks for {option}, which is not known here"));
    }
    let now = SystemTime::now();
    if certificate.valid_before_time().is_some_and(|end| end <= now) {
        return Err("it has expired".to_owned());
    }
    if certificate.valid_after_time().is_some_and(|begin| begin > now) {
        return Err("it is not valid yet".to_owned());
    }
    certificate.validate(&authorities).map_err(|_| "its signature is not that of the authority".to_owned())
}
