use std::net::IpAddr;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use ipnet::IpNet;

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: HeaderValue,
    /// It is a proxy of the operator's own: what it says of its clients is true.
    trusted: bool,
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
