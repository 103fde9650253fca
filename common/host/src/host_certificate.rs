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
    // Nothing of what it says is read before it is known to be the authority's.
    certificate.verify_signature().map_err(|_| "its signature is not that of the authority".to_owned())?;
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
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    /// As an authority has signed it, for `web-1`.
    fn certificate(authority: &PrivateKey) -> Certificate {
        let host = PrivateKey::from(Ed25519Keypair::from_seed(&[2; 32]));
        let mut builder = Builder::new(vec![3; 16], host.public_key().clone(), 0, u64::MAX).unwrap();
        builder.cert_type(CertType::Host).unwrap();
        builder.valid_principal("web-1").unwrap();
        builder.sign(authority).unwrap()
    }

    #[test]
    fn what_a_certificate_says_is_not_looked_at_before_its_signature() {
        let authority = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
        let known = || vec![authority.public_key().fingerprint(Default::default())];
        let signed = certificate(&authority);
        check(&signed, "web-1", known()).unwrap();
        assert!(check(&signed, "web-2", known()).unwrap_err().starts_with("it is for web-1"));
        let mut bytes = signed.to_bytes().unwrap();
        let name = bytes.windows(5).position(|bytes| bytes == b"web-1").unwrap();
        bytes[name + 4] = b'*';
        let forged = Certificate::from_bytes(&bytes).unwrap();
        for host in ["web-1", "web-2", "db"] {
            assert_eq!(
                check(&forged, host, known()).unwrap_err(),
                "its signature is not that of the authority",
                "{host}"
            );
        }
    }
}
