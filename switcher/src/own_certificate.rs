//! A certificate of one's own: from its references to the proxy of a host.

use std::net::Ipv4Addr;

use cutover_control::{Certificate, CertificateStatus, SecretText};
use cutover_core::{CertificateSource, Plan, Program, Reference, Tls};
use cutover_fleet::Machine;
use cutover_secrets::{Secret, Stores, Values};

use crate::{Error, leaf};

/// Puts the certificate of the plan onto the proxy of a host, where it names one; the proxy must show that one afterwards. Done
/// again, it changes nothing.
pub(crate) async fn certify(machine: &Machine, plan: &Plan, stores: &Stores) -> Result<(), Error> {
    let Some(Tls { certificate: CertificateSource::Own { certificate, key }, .. }) =
        &plan.release.settings.proxy.tls
    else {
        return Ok(());
    };
    let values = Values::by(plan, Program::Switcher, stores);
    let (chain, key) =
        tokio::try_join!(value(&values, "certificate", certificate), value(&values, "key", key))?;
    let (chain, key) = (chain.expose().to_owned(), SecretText::new(key.expose().to_owned()));
    let certificate = Certificate { chain, key, ordered_from: None };
    let sent = leaf::read(&certificate);
    let shown = machine.proxy().certify(&plan.key, certificate).await?;
    let names = shown.names.join(", ");
    if !sent.is_some_and(|sent| is_the_same(&shown, &sent)) {
        return Err(Error::OtherCertificate { host: machine.name().clone(), names, until: shown.not_after });
    }
    tracing::info!(service = %plan.key, host = %machine.name(), names, "a certificate is shown");
    Ok(())
}

/// Whether a proxy shows what it was sent. It says the addresses that a certificate is for as well.
fn is_the_same(shown: &CertificateStatus, sent: &CertificateStatus) -> bool {
    let is_address = |name: &str| name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
    (shown.not_before, shown.not_after) == (sent.not_before, sent.not_after)
        && shown.names.iter().all(|name| sent.names.contains(name) || is_address(name))
}

async fn value(values: &Values, key: &'static str, reference: &Reference) -> Result<Secret, Error> {
    values.resolve(reference).await.map_err(|source| Error::Secret { key, source })
}

#[cfg(test)]
mod tests {
    use cutover_core::Failure;

    use super::*;
    use crate::fixture;

    #[test]
    fn another_certificate_is_known_by_its_dates_and_its_names() {
        let names = ["A.example", "*.b.example", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = SecretText::new(made.signing_key.serialize_pem());
        let certificate = Certificate { chain: made.cert.pem(), key, ordered_from: None };
        let sent = leaf::read(&certificate).unwrap();
        assert_eq!(sent.names, ["a.example", "*.b.example"]);
        let mut shown = sent.clone();
        shown.names.extend(["192.0.2.1", "[2001:db8::1]"].map(str::to_owned));
        assert!(is_the_same(&shown, &sent));
        let later = CertificateStatus { not_after: sent.not_after + 1, ..sent.clone() };
        let renewed = CertificateStatus { not_before: sent.not_before + 1, ..sent.clone() };
        let other = CertificateStatus { names: vec!["c.example".to_owned()], ..sent.clone() };
        for other in [later, renewed, other] {
            assert!(!is_the_same(&other, &sent), "{other:?}");
        }
        assert!(leaf::read(&Certificate { chain: "no PEM".to_owned(), ..certificate }).is_none());
    }

    #[tokio::test]
    async fn what_is_missing_is_named_by_its_key_and_its_reference() {
        let reference = Reference::Environment("TLS_KEY".into());
        let values = Values::of(&fixture::plan(), Program::Switcher);
        let failure = Failure::from(value(&values, "key", &reference).await.unwrap_err());
        let message = "there is no value for proxy.tls.key: env://TLS_KEY: the deployment has no value of it for the \
                       switcher: deploy again";
        assert_eq!(failure.message, message);
        assert!(!failure.retry);
    }
}
