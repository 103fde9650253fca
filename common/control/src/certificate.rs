use serde::{Deserialize, Serialize};

use crate::SecretText;

/// A certificate with its key, as a server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// PEM: the certificate itself first, then each one that signs the one before.
    pub chain: String,
    /// PEM, of the certificate's own key: PKCS#8, PKCS#1 or SEC 1.
    pub key: SecretText,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The host names that it is for, in lower case; `*.example.com` stands for the names one label below (RFC 9525, 6.3).
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// Since when it is valid, in seconds of Unix time.
    pub not_before: u64,
    /// Until when it is valid, in seconds of Unix time.
    pub not_after: u64,
}
