//! Models on the web.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyDataStream, BodyExt, Empty};
use hyper::header::{LOCATION, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncRead;
use tokio::time::timeout;
use tokio_util::io::StreamReader;
use url::Url;

use crate::{Error, Result};

/// How often one address may name another one.
const REDIRECTS: u32 = 5;
/// How long an answer may take to begin.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// The name that the file has in the model: the last part of the path.
pub(crate) fn name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    if last.is_empty() { "model".to_owned() } else { last.to_owned() }
}

/// The content at an address, from its beginning. Addresses that are named instead are followed, as long as they are encrypted: what
/// comes is compared with its digest in any case.
///
/// # Errors
/// A server that can't be reached, isn't who it says or has no such file.
pub(crate) async fn open(url: &Url) -> Result<impl AsyncRead + Unpin + use<>> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Read {
        place: url.to_string(),
        source: std::io::Error::other(source),
    };
    let connector = HttpsConnectorBuilder::new().with_native_roots();
    let connector = connector.map_err(|error| failed(error.into()))?.https_only().enable_http1().build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let mut next = url.clone();
    for _ in 0..=REDIRECTS {
        let uri: Uri =
            next.as_str().parse().map_err(|error: hyper::http::uri::InvalidUri| failed(error.into()))?;
        let request = Request::get(uri).header(USER_AGENT, concat!("cutover/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Empty::new()).map_err(|error| failed(error.into()))?;
        let answer = timeout(ANSWERS_WITHIN, client.request(request)).await;
        let answer = answer.map_err(|late| failed(late.into()))?.map_err(|error| failed(error.into()))?;
        let status = answer.status();
        if status == StatusCode::OK {
            let pieces: BodyDataStream<_> = answer.into_body().into_data_stream();
            return Ok(StreamReader::new(pieces.map_err(std::io::Error::other)));
        }
        let elsewhere = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
        let elsewhere = elsewhere.and_then(|location| next.join(location.to_str().ok()?).ok());
        match elsewhere {
            Some(url) if url.scheme() == "https" => next = url,
            _ => return Err(Error::Status { place: next.to_string(), status: status.as_u16() }),
        }
    }
    Err(Error::Status { place: next.to_string(), status: StatusCode::LOOP_DETECTED.as_u16() })
}
