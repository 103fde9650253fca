use serde::{Deserialize, Serialize};

use crate::{Orders, Timestamp};

/// What is noted of a service's certificate, by whoever looks after it, for the next one and for people. The certificate itself
/// is with the proxies alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateNote {
    /// What was shown last by every proxy that could be asked; none: nothing yet.
    pub shown: Option<ShownCertificate>,
    /// The orders, and when the next one may be made.
    pub orders: Orders,
}

/// A certificate that proxies show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    /// The host names that it is for.
    pub names: Vec<String>,
    /// Until when it is valid.
    pub until: Timestamp,
}
