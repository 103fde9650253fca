//! Models on the web.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
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
/// How long an answer may take to begin, and each next piece of it to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name that the file has in the model: the last part of the path.
pub(crate) fn name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    if last.is_empty() { "model".to_owned() } else { last.to_owned() }
}

/// The address for people. The query is left out: where an address is signed, it lets whoever reads it in.
pub(crate) fn place(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

/// The content at an address, from its beginning. Addresses that are named instead are followed, as long as they are encrypted: what
/// comes is compared with its digest in any case.
///
/// # Errors
/// A server that can't be reached, isn't who it says or has no such file.
pub(crate) async fn open(url: &Url) -> Result<impl AsyncRead + Unpin + use<>> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Read {
        place: place(url),
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
        let answer = timeout(PATIENCE, client.request(request)).await;
        let answer = answer.map_err(|late| failed(late.into()))?.map_err(|error| failed(error.into()))?;
        let status = answer.status();
        if status == StatusCode::OK {
            let pieces: BodyDataStream<_> = answer.into_body().into_data_stream();
            return Ok(StreamReader::new(Box::pin(patient(pieces))));
        }
        let elsewhere = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
        let elsewhere = elsewhere.and_then(|location| next.join(location.to_str().ok()?).ok());
        match elsewhere {
            Some(url) if url.scheme() == "https" => next = url,
            _ => return Err(Error::Status { place: place(&next), status: status.as_u16() }),
        }
    }
    Err(Error::Status { place: place(&next), status: StatusCode::LOOP_DETECTED.as_u16() })
}

/// The same pieces, and an error where the next one doesn't come.
fn patient<E>(
    pieces: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
) -> impl Stream<Item = std::io::Result<Bytes>>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    stream::try_unfold(pieces, async |mut pieces| {
        let next = timeout(PATIENCE, pieces.try_next()).await?.map_err(std::io::Error::other)?;
        Ok(next.map(|piece| (piece, pieces)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[test]
    fn a_signature_is_not_shown() {
        let url = "https://example.com/ranker.onnx?X-Amz-Signature=0123#part".parse().unwrap();
        assert_eq!(place(&url), "https://example.com/ranker.onnx");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_not_waited_for() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"some"))]);
        let mut pieces = Box::pin(patient(first.chain(stream::pending())));
        assert_eq!(pieces.try_next().await.unwrap().unwrap(), "some");
        let error = pieces.try_next().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
