use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, ServerConfig};

/// What every handshake has in common: TLS 1.2 and 1.3 with the ciphers that rustls takes for safe, and tickets, by which
/// a client comes back without a whole handshake, on whichever worker. Sessions are kept by the clients alone.
#[derive(Debug)]
pub(crate) struct Terms {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Terms {
    /// With keys for tickets that nobody else has, and that are replaced every six hours.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { provider: Arc::new(ring::default_provider()), tickets: ring::Ticketer::new()? })
    }

    /// A certificate and its key, which is looked at whether it is.
    ///
    /// # Errors
    ///
    /// When the key can't be used, or isn't the certificate's.
    pub(crate) fn pair(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, Error> {
        CertifiedKey::from_der(chain, key, &self.provider)
    }

    /// The same of a certificate that was made here; rustls takes none that is for `acme-tls/1` for a certificate.
    ///
    /// # Errors
    ///
    /// When the key can't be used.
    pub(crate) fn made(
        &self,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, Error> {
        Ok(CertifiedKey::new(vec![certificate], self.provider.key_provider.load_private_key(key)?))
    }

    /// How a certificate is shown, to clients that speak one of these protocols (RFC 7301), the preferred one first.
    ///
    /// # Errors
    ///
    /// Never: the provider has ciphers for both versions.
    pub(crate) fn config(
        &self,
        certified: CertifiedKey,
        protocols: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&self.tickets);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}
