//! A certificate of one's own: from its references to the proxy of a host.

use cutover_control::{Certificate, SecretText};
use cutover_core::{CertificateSource, Plan, Reference, Tls};
use cutover_fleet::Machine;
use cutover_secrets::Secret;

use crate::Error;

/// Puts the certificate of the plan onto the proxy of a host, where it names one. Done again, it changes nothing.
pub(crate) async fn certify(machine: &Machine, plan: &Plan) -> Result<(), Error> {
    let Some(Tls { certificate: CertificateSource::Own { certificate, key }, .. }) =
        &plan.release.settings.proxy.tls
    else {
        return Ok(());
    };
    let (chain, key) = tokio::try_join!(value("certificate", certificate), value("key", key))?;
    let (chain, key) = (chain.expose().to_owned(), SecretText::new(key.expose().to_owned()));
    let certificate = Certificate { chain, key, ordered_from: None };
    let shown = machine.proxy().certify(&plan.key, certificate).await?;
    let names = shown.names.join(", ");
    tracing::info!(service = %plan.key, host = %machine.name(), names, "a certificate is shown");
    Ok(())
}

async fn value(key: &'static str, reference: &Reference) -> Result<Secret, Error> {
    cutover_secrets::resolve(reference).await.map_err(|source| Error::Secret { key, source })
}

#[cfg(test)]
mod tests {
    use cutover_core::Failure;

    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_named_by_its_key_and_its_reference() {
        let reference = Reference::Environment("CUTOVER_SURELY_NOT_SET".into());
        let failure = Failure::from(value("key", &reference).await.unwrap_err());
        let message = "there is no value for proxy.tls.key: env://CUTOVER_SURELY_NOT_SET: the variable is not set in \
                       the environment of this program";
        assert_eq!(failure.message, message);
        assert!(!failure.retry);
    }
}
