use bytes::Bytes;
use cutover_control::TlsPolicy;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderValue, STRICT_TRANSPORT_SECURITY};

use crate::clients::Client;
use crate::head::host_name;

/// How a service insists on TLS.
#[derive(Debug)]
pub(crate) struct Insistence {
    pub(crate) redirect: bool,
    hsts: Option<HeaderValue>,
}

impl Insistence {
    pub(crate) fn new(policy: &TlsPolicy) -> Self {
        let seconds = (policy.hsts_seconds > 0).then(|| format!("max-age={}", policy.hsts_seconds));
        let hsts = seconds.and_then(|value| HeaderValue::from_maybe_shared(Bytes::from(value)).ok());
        Self { redirect: policy.redirect, hsts }
    }

    /// Whether there may be something to do about the requests of a client.
    pub(crate) const fn concerns(&self, client: &Client) -> bool {
        self.hsts.is_some() || self.redirect && !client.speaks_tls()
    }

    /// Has a browser that got this over TLS use nothing else from then on, unless the application says something of its own
    /// about that (RFC 6797, 7.1).
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.hsts {
            headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
        }
    }
}

/// The same address with TLS, on a port; none: the request is for no path.
pub(crate) fn secured(host: &str, port: u16, uri: &Uri) -> Option<HeaderValue> {
    let path = uri.path_and_query().map(|path| path.as_str()).filter(|path| path.starts_with('/'))?;
    let name = host_name(host);
    let location = match port {
        super::HTTPS => format!("https://{name}{path}"),
        port => format!("https://{name}:{port}{path}"),
    };
    HeaderValue::from_maybe_shared(Bytes::from(location)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_address_with_tls_has_the_port_of_tls_alone() {
        let secured = |host, port, uri: &'static str| secured(host, port, &Uri::from_static(uri));
        assert_eq!(secured("a.example:8080", 443, "/x?y=1").unwrap(), "https://a.example/x?y=1");
        assert_eq!(secured("a.example.", 8443, "/").unwrap(), "https://a.example:8443/");
        assert_eq!(secured("[::1]:80", 443, "/").unwrap(), "https://[::1]/");
        assert_eq!(secured("a.example", 443, "*"), None);
    }

    #[test]
    fn what_the_application_says_of_itself_stays() {
        let insistence = Insistence::new(&TlsPolicy { redirect: false, hsts_seconds: 60 });
        let mut headers = HeaderMap::new();
        insistence.mark(&mut headers);
        assert_eq!(headers[STRICT_TRANSPORT_SECURITY], "max-age=60");
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=0"));
        insistence.mark(&mut headers);
        assert_eq!(headers[STRICT_TRANSPORT_SECURITY], "max-age=0");
        let silent = Insistence::new(&TlsPolicy { redirect: true, hsts_seconds: 0 });
        headers.clear();
        silent.mark(&mut headers);
        assert!(headers.is_empty());
    }
}
