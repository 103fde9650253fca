//! Where a database is reached.

use std::net::SocketAddr;

use cutover_secrets::Secret;

use crate::tunnel::Tunnel;

/// A database, and the way to it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub(crate) url: &'a Secret,
    /// Where to connect in the place of the URL's host and port, by which the server is called and its certificate judged all the
    /// same.
    pub(crate) at: Option<SocketAddr>,
}

impl<'a> Target<'a> {
    /// The database at `url`, by way of an address that leads to its host and port.
    pub const fn at(url: &'a Secret, address: SocketAddr) -> Self {
        Self { url, at: Some(address) }
    }

    /// The database at `url`, by way of a tunnel where there is one.
    pub(crate) fn by(url: &'a Secret, tunnel: &Option<Tunnel>) -> Self {
        tunnel.as_ref().map_or(Self::from(url), |way| Self::at(url, way.address()))
    }
}

impl<'a> From<&'a Secret> for Target<'a> {
    fn from(url: &'a Secret) -> Self {
        Self { url, at: None }
    }
}
