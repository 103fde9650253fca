//! Answers: content, acknowledgements, and errors in the notation of the specification.

use std::io;

use bytes::Bytes;
use cutover_store::{Blob, Digest};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio_util::io::ReaderStream;

use crate::pace::Pace;
use crate::turns::Turn;

/// How much of a blob is read and sent at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// The digest of what a response is about.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Tells a Docker Engine that a registry of version 2 answers.
const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Content that is in memory.
pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Content from the store, each piece of it when its turn has come and as fast as it may.
pub(crate) fn streamed(blob: Blob, turn: Turn, pace: Pace) -> Body {
    let pieces = ReaderStream::with_capacity(blob, CHUNK);
    let in_turn = stream::unfold((pieces, turn, pace), async |(mut pieces, turn, pace)| {
        turn.come().await;
        let piece = pieces.next().await?;
        pace.take(piece.as_ref().map_or(0, Bytes::len)).await;
        Some((piece, (pieces, turn, pace)))
    });
    UnsyncBoxBody::new(StreamBody::new(in_turn.map_ok(Frame::data)))
}

/// What a request comes to.
pub(crate) type Answer = Result<Reply, Refusal>;

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Reply(Response<Body>);

impl Reply {
    /// A status, the headers that every answer has, and no body.
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(empty());
        *response.status_mut() = status;
        let (name, value) = API_VERSION;
        response.headers_mut().insert(name, value);
        Self(response)
    }

    /// Adds a header. All that stands in headers here are numbers, digests and paths, which are always valid.
    pub(crate) fn with(mut self, name: HeaderName, value: impl ToString) -> Self {
        if let Ok(value) = HeaderValue::try_from(value.to_string()) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// Adds the content. Without it, the headers describe what GET would send, as HEAD wants it.
    pub(crate) fn body(self, body: Body) -> Self {
        Self(self.0.map(|_| body))
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        self.0
    }
}

/// The error codes of the distribution specification that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameUnknown,
    SizeInvalid,
    Unsupported,
    /// Not in the specification's list: the store failed.
    Unknown,
}

/// A request that is refused, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
}

#[derive(Serialize)]
struct Errors {
    errors: [ErrorEntry; 1],
}

#[derive(Serialize)]
struct ErrorEntry {
    code: Code,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn unknown_blob(digest: &Digest) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::BlobUnknown, format!("{digest} is not here"))
    }

    pub(crate) fn unknown_manifest(reference: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, format!("{reference} is not here"))
    }

    pub(crate) fn unsupported() -> Self {
        let message = "this registry doesn't do that";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
    }

    pub(crate) fn into_reply(self) -> Reply {
        tracing::debug!(status = self.status.as_u16(), code = ?self.code, message = self.message, "refused a request");
        let errors = Errors { errors: [ErrorEntry { code: self.code, message: self.message }] };
        let content = serde_json::to_vec(&errors).unwrap_or_default();
        Reply::new(self.status).with(CONTENT_TYPE, "application/json").body(full(content))
    }
}

impl From<cutover_store::Error> for Refusal {
    fn from(error: cutover_store::Error) -> Self {
        match &error {
            cutover_store::Error::NotFound { digest, .. } => Self::unknown_blob(digest),
            cutover_store::Error::Mismatch { .. } => {
                Self::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, error.to_string())
            }
            _ => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the artifact store failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, error.to_string())
            }
        }
    }
}
