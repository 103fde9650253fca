use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::InvalidHeaderValue;
use ipnet::IpNet;
use tokio::net::TcpStream;

use super::announcement::announced;
use super::client::Client;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Whom the proxy believes what is said of clients: the operator's own proxies in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    networks: Arc<[IpNet]>,
    /// They announce the client of each connection by the PROXY protocol.
    announce: bool,
}

impl Trust {
    pub(crate) fn new(networks: &[IpNet], announce: bool) -> Self {
        Self { networks: networks.into(), announce }
    }

    /// Whoever a connection is from, which an announcement is taken from first where there must be one.
    ///
    /// # Errors
    ///
    /// When there must be one and is none.
    pub(crate) async fn client(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<Client, Error> {
        let client = self.at(peer)?;
        if !(self.announce && client.is_trusted()) {
            return Ok(client);
        }
        let address = announced(stream, peer.to_canonical()).await?;
        Ok(self.at(address)?)
    }

    fn at(&self, address: IpAddr) -> Result<Client, InvalidHeaderValue> {
        Client::new(address, &self.networks)
    }
}
