use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::exchange::RequestBody;

/// How long an answer may take in all.
const LIMIT: Duration = Duration::from_secs(2);

/// Bytes of an answer: a Traefik tells all of its configuration in one.
const MAX_ANSWER: usize = 64 << 20;

/// Asks the other proxy something about itself, on a connection of its own: who answers was accepting just now. Gives the
/// body of a 200.
///
/// # Errors
///
/// In words.
pub(super) async fn ask(address: SocketAddr, path: &str) -> Result<Bytes, String> {
    match timeout(LIMIT, get(address, path)).await {
        Ok(Ok((StatusCode::OK, body))) => Ok(body),
        Ok(Ok((status, _))) => Err(format!("http://{address}{path} answers {status}")),
        Ok(Err(error)) => Err(format!("http://{address}{path} can't be asked: {error}")),
        Err(_) => Err(format!("http://{address}{path} does not answer within {LIMIT:?}")),
    }
}

async fn get(
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake::<_, RequestBody>(TokioIo::new(stream)).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, concat!("cutover-proxy/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(RequestBody::Empty)?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes()))
}
