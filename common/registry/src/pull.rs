//! The registry that gives one image out.

use std::sync::Arc;

use cutover_store::Store;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::manifest::{Descriptor, LIMIT, Manifest};
use crate::range::Part;
use crate::reply::{Answer, Code, DOCKER_CONTENT_DIGEST, Refusal, Reply, full, streamed};
use crate::route::{Reference, Route};
use crate::traffic::Meter;
use crate::{Image, Result, Traffic, connection};

/// A registry whose one repository holds one image, to be read and nothing else. Every tag means that image; blobs
/// that aren't its own are unknown, whatever the store holds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PullRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    repository: String,
    image: Image,
    meter: Meter,
}

impl PullRegistry {
    /// Offers `image` as `repository`, for example `cutover/app`: lower-case path components of a Docker image name.
    pub fn new(store: Store, repository: impl Into<String>, image: Image) -> Self {
        Self {
            shared: Arc::new(Shared { store, repository: repository.into(), image, meter: Meter::default() }),
        }
    }

    /// Serves a peer on `stream` until it closes the connection, or nothing moves for two minutes. A peer that tries
    /// TLS is dropped at once, without an error.
    pub async fn serve_connection<S>(&self, stream: S) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        connection::serve(stream, &self.shared.meter, |request| self.shared.handle(request)).await
    }

    /// How much has travelled so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.meter.read()
    }
}

impl Shared {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let (head, _) = request.into_parts();
        let with_body = match head.method {
            Method::GET => true,
            Method::HEAD => false,
            _ => return Err(Refusal::unsupported()),
        };
        match Route::parse(head.uri.path(), &self.repository)? {
            Route::Base => Ok(Reply::new(StatusCode::OK).body(full("{}"))),
            Route::Manifest(reference) => self.manifest(reference, with_body).await,
            Route::Blob(digest) => {
                let part = self.image.parts().find(|part| part.digest == digest);
                self.blob(part.ok_or_else(|| Refusal::unknown_blob(&digest))?, &head.headers, with_body).await
            }
            Route::Uploads | Route::Upload(_) => Err(Refusal::unsupported()),
        }
    }

    /// The length is sent with HEAD too: the containerd image store takes its absence for an empty manifest.
    async fn manifest(&self, reference: Reference, with_body: bool) -> Answer {
        let digest = match reference {
            Reference::Tag(_) => &self.image.digest,
            Reference::Digest(digest) if digest == self.image.digest => &self.image.digest,
            Reference::Digest(digest) if digest == self.image.manifest => &self.image.manifest,
            Reference::Digest(digest) => return Err(Refusal::unknown_manifest(digest)),
        };
        let content = self.store.get_bytes(digest, LIMIT as u64).await?;
        let manifest = Manifest::parse(&content).map_err(|e| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Code::ManifestInvalid, format!("{digest}: {e}"))
        })?;
        let reply = Reply::new(StatusCode::OK)
            .with(CONTENT_TYPE, manifest.media_type().as_str())
            .with(CONTENT_LENGTH, content.len())
            .with(DOCKER_CONTENT_DIGEST, digest);
        Ok(if with_body { reply.body(full(content)) } else { reply })
    }

    async fn blob(&self, part: &Descriptor, headers: &HeaderMap, with_body: bool) -> Answer {
        let size = part.size;
        let (reply, range) = match Part::asked(headers, size) {
            Part::Whole => (Reply::new(StatusCode::OK), 0..size),
            Part::Bytes(range) => {
                let shown = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                (Reply::new(StatusCode::PARTIAL_CONTENT).with(CONTENT_RANGE, shown), range)
            }
            Part::Unsatisfiable => {
                let shown = format!("bytes */{size}");
                return Ok(Reply::new(StatusCode::RANGE_NOT_SATISFIABLE).with(CONTENT_RANGE, shown));
            }
        };
        let length = range.end - range.start;
        let reply = reply
            .with(CONTENT_TYPE, "application/octet-stream")
            .with(CONTENT_LENGTH, length)
            .with(ACCEPT_RANGES, "bytes")
            .with(DOCKER_CONTENT_DIGEST, &part.digest);
        if !with_body {
            return Ok(reply);
        }
        self.meter.add_promised(length);
        Ok(reply.body(streamed(self.store.get_range(&part.digest, range).await?)))
    }
}
