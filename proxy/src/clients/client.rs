use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use ipnet::IpNet;
use tokio_rustls::rustls::ProtocolVersion;

use crate::tls::Certified;

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: HeaderValue,
    /// It is a proxy of the operator's own: what it says of its clients is true.
    trusted: bool,
    /// What it was shown, where it speaks TLS.
    shown: Option<Arc<Certified>>,
    /// The version of TLS that it speaks.
    tls: Option<ProtocolVersion>,
}

impl Client {
    /// The one at an address; `trusted` are the networks of the operator's own proxies.
    ///
    /// # Errors
    ///
    /// Never: an address is a valid value.
    pub(crate) fn new(address: IpAddr, trusted: &[IpNet]) -> Result<Self, InvalidHeaderValue> {
        let address = address.to_canonical();
        Ok(Self {
            address: HeaderValue::from_maybe_shared(Bytes::from(address.to_string()))?,
            trusted: trusted.iter().any(|network| network.contains(&address)),
            shown: None,
            tls: None,
        })
    }

    /// Whether what it says of its own clients is to be passed on.
    pub(crate) const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Its address, as text.
    pub(crate) fn address(&self) -> &str {
        self.address.to_str().unwrap_or_default()
    }

    /// The same over TLS, after it was shown a certificate.
    pub(crate) fn shown(self, certified: Arc<Certified>, tls: Option<ProtocolVersion>) -> Self {
        Self { shown: Some(certified), tls, ..self }
    }

    /// The version of TLS that it speaks, as it is written.
    pub(crate) fn tls(&self) -> Option<&'static str> {
        match self.tls? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    pub(crate) const fn speaks_tls(&self) -> bool {
        self.shown.is_some()
    }

    /// The scheme of what it asks for (RFC 9110, 4.2).
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.speaks_tls() { "https" } else { "http" }
    }

    /// Whether it may ask for a host on its connection: with TLS, only for those that the certificate which it was shown is
    /// for, as it has seen no other proof of who answers.
    pub(crate) fn may_ask_for(&self, host: &str) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.is_for(host))
    }

    /// Adds its address to those that are named in a field, the client's own first.
    pub(crate) fn append_to(&self, headers: &mut HeaderMap, field: &HeaderName) {
        let known = headers.get_all(field).iter().map(HeaderValue::as_bytes);
        let all: Vec<&[u8]> =
            known.filter(|value| !value.is_empty()).chain([self.address.as_bytes()]).collect();
        let value = match all.as_slice() {
            [_] => Ok(self.address.clone()),
            all => HeaderValue::from_maybe_shared(Bytes::from(all.join(&b", "[..]))),
        };
        if let Ok(value) = value {
            headers.insert(field.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_operators_own_networks_are_trusted() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (address, expected) in [
            ("10.1.2.3", true),
            // As a socket for both families sees it.
            ("::ffff:10.1.2.3", true),
            ("2001:db8::1", true),
            ("11.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(
                Client::new(address.parse().unwrap(), &trusted).unwrap().is_trusted(),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn its_address_comes_last() {
        let field = HeaderName::from_static("x-forwarded-for");
        let client = Client::new("10.0.0.1".parse().unwrap(), &[]).unwrap();
        let mut headers = HeaderMap::new();
        client.append_to(&mut headers, &field);
        assert_eq!(headers[&field], "10.0.0.1");
        let mut headers = HeaderMap::new();
        headers.append(&field, HeaderValue::from_static("192.0.2.1, 192.0.2.2"));
        headers.append(&field, HeaderValue::from_static("192.0.2.3"));
        client.append_to(&mut headers, &field);
        assert_eq!(
            headers.get_all(&field).iter().collect::<Vec<_>>(),
            ["192.0.2.1, 192.0.2.2, 192.0.2.3, 10.0.0.1"]
        );
    }
}
