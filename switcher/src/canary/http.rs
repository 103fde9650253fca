//! Requests to those who are asked about a canary.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// For an answer as a whole.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MOST: usize = 1 << 20;

/// A client that verifies certificates by the machine's authorities and follows nobody elsewhere.
#[derive(Clone)]
pub(super) struct Http {
    client: Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, Arc<std::io::Error>>,
}

impl Http {
    pub(super) fn new() -> Self {
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(Arc::new);
        let client = connector.map(|connector| {
            let connector = connector.https_or_http().enable_http1().build();
            Client::builder(TokioExecutor::new()).build(connector)
        });
        Self { client }
    }

    /// Sends the request, and answers with the status and the content of the answer.
    ///
    /// # Errors
    /// Why there is none, in words that hold nothing of the request.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let client = self.client.as_ref().map_err(|error| causes(error.as_ref()))?;
        let answered = async {
            let answer = client.request(request).await.map_err(|error| causes(&error))?;
            let status = answer.status();
            let content = Limited::new(answer.into_body(), MOST).collect().await;
            let content = content.map_err(|error| causes(error.as_ref()))?.to_bytes();
            Ok((status, content))
        };
        timeout(LIMIT, answered).await.unwrap_or_else(|_| Err(format!("none within {} s", LIMIT.as_secs())))
    }
}

/// An error with what is behind it, in one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.join(": ")
}
