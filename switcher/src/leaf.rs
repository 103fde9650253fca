//! What a certificate says of itself, before any proxy has said it.

use cutover_control::{Certificate, CertificateStatus};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Reads the first certificate of a chain; of its names, those that are no addresses. None: it is none.
pub(crate) fn read(certificate: &Certificate) -> Option<CertificateStatus> {
    let chain = x509_cert::Certificate::load_pem_chain(certificate.chain.as_bytes()).ok()?;
    let signed = chain.first()?.tbs_certificate();
    let alternatives = signed.get_extension::<SubjectAltName>().ok()?;
    let names = alternatives.iter().flat_map(|(_, names)| &names.0).filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    Some(CertificateStatus {
        names: names.collect(),
        issuer: signed.issuer().to_string(),
        not_before: signed.validity().not_before.to_unix_duration().as_secs(),
        not_after: signed.validity().not_after.to_unix_duration().as_secs(),
        ordered_from: certificate.ordered_from.clone(),
    })
}
