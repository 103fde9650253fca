//! HTTP connections to the Docker Engine that become gRPC connections to BuildKit.

use std::io;

use bytes::Bytes;
use cutover_host::{Host, Stream};
use http_body_util::Empty;
use hyper::header::{CONNECTION, HOST, HeaderName, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::{Error, Result};

/// Asks the Docker Engine of `host` to turn a request to `endpoint` into an HTTP/2 connection.
pub(super) async fn upgrade(
    host: &Host,
    endpoint: &'static str,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
) -> Result<Upgraded> {
    let upgraded = request(host.docker_stream().await?, endpoint, headers).await;
    upgraded.map_err(|source| Error::Upgrade { endpoint, host: host.name().to_owned(), source })
}

async fn request(
    stream: Stream,
    endpoint: &'static str,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
) -> io::Result<Upgraded> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends as soon as the connection is handed over, or given up.
    tokio::spawn(connection.with_upgrades());

    let request =
        Request::post(endpoint).header(HOST, "docker").header(CONNECTION, "Upgrade").header(UPGRADE, "h2c");
    let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        return Err(io::Error::other(format!(
            "it answered {status}; BuildKit needs Docker Engine 20.10 or later"
        )));
    }
    hyper::upgrade::on(response).await.map_err(io::Error::other)
}
