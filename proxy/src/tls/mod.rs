//! TLS towards clients: what is shown to whom, how a handshake goes, and how a service insists on it.
//!
//! [`custody`] keeps what was entrusted to the proxy, and puts the certificates on [`showcase`], where a [`handshake`] finds
//! the one for the name that the client says. [`challenges`] are answered to a certificate authority meanwhile.

mod certified;
mod challenges;
mod custody;
mod handshake;
mod insistence;
mod showcase;
mod terms;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::Uri;
use hyper::header::HeaderValue;

pub(crate) use certified::Certified;
pub(crate) use challenges::Challenges;
pub(crate) use custody::{Custody, Keyring};
pub(crate) use handshake::{Handshakes, shake};
pub(crate) use insistence::Insistence;
use insistence::secured;
use showcase::Showcase;
use terms::Terms;

use crate::head::host_name;

/// The ports that a URL without one means (RFC 9110, 4.2).
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What all workers show and answer; read without a lock.
#[derive(Debug)]
pub(crate) struct Tls {
    terms: Terms,
    /// Where clients find it.
    port: Option<u16>,
    /// Whether who asks without a port was led here from the usual one, as this proxy doesn't listen there.
    is_led_to: bool,
    showcase: ArcSwap<Showcase>,
    pub(crate) challenges: Challenges,
    pub(crate) handshakes: Handshakes,
}

impl Tls {
    /// On a port beside that of HTTP, without any certificate yet.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub(crate) fn new(port: Option<u16>, http: u16) -> Result<Self, rustls::Error> {
        Ok(Self {
            terms: Terms::new()?,
            port,
            is_led_to: http != HTTP,
            showcase: ArcSwap::default(),
            challenges: Challenges::default(),
            handshakes: Handshakes::default(),
        })
    }

    /// The address with TLS of what is asked for without; none: a client would find no certificate there, or no path.
    pub(crate) fn secured(&self, host: &str, uri: &Uri) -> Option<HeaderValue> {
        let has_port = host_name(host) != host.strip_suffix('.').unwrap_or(host);
        // Who leads the usual port of HTTP here does the same with that of HTTPS.
        let port = self.port.map(|port| if self.is_led_to && !has_port { HTTPS } else { port })?;
        if self.showcase.load().has(host) { secured(host, port, uri) } else { None }
    }

    /// What is shown for a name that a client says, in lower case.
    fn find(&self, name: &str) -> Option<Arc<Certified>> {
        self.showcase.load().find(name, custody::unix_time()).cloned()
    }

    fn show<'a>(&self, services: impl Iterator<Item = &'a [Arc<Certified>]>) {
        self.showcase.store(Arc::new(Showcase::new(services)));
    }
}
