//! The registry that gives one image out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cutover_store::{Digest, Store};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::beginning::Beginning;
use crate::manifest::{LIMIT, Manifest};
use crate::pace::Pace;
use crate::range::Part;
use crate::reply::{Answer, Code, DOCKER_CONTENT_DIGEST, Refusal, Reply, full, streamed};
use crate::route::{Reference, Route};
use crate::traffic::Meter;
use crate::turns::{Turn, Turns};
use crate::{Image, Result, Traffic, connection};

/// The media type of a blob whose kind only its descriptor tells.
const OCTETS: &str = "application/octet-stream";

/// A registry whose one repository holds one image, to be read and nothing else. Every tag means that image; blobs
/// that aren't its own are unknown, whatever the store holds. Lower layers are sent before higher ones. Cheap to clone.
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
    turns: Turns,
    pace: Pace,
    /// The layers that were asked for, by number.
    asked: Mutex<BTreeSet<usize>>,
    beginnings: Mutex<Vec<Beginning>>,
}

impl PullRegistry {
    /// Offers `image` as `repository`, for example `cutover/app`: lower-case path components of a Docker image name.
    /// Content is sent no faster than at `pace`.
    pub fn new(store: Store, repository: impl Into<String>, image: Image, pace: Pace) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                repository: repository.into(),
                image,
                meter: Meter::default(),
                turns: Turns::default(),
                pace,
                asked: Mutex::default(),
                beginnings: Mutex::default(),
            }),
        }
    }

    /// The layers that peers have asked for so far: their numbers, from 0 for the lowest.
    pub fn asked(&self) -> BTreeSet<usize> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Offers the lowest `layers` as an image of their own, too, with that label, and answers with its digest. A Docker Engine
    /// that has pulled it keeps these layers, whatever becomes of the whole; those that it is downloading meanwhile for
    /// the whole, it downloads once.
    pub async fn offer_beginning(&self, layers: usize, label: (&str, &str)) -> Result<Digest> {
        let Shared { store, image, beginnings, .. } = &*self.shared;
        let beginning = Beginning::of(store, image, image.media_type, layers, label).await?;
        let digest = beginning.digest.clone();
        beginnings.lock().unwrap_or_else(PoisonError::into_inner).push(beginning);
        Ok(digest)
    }

    /// Serves a peer on `stream` until it closes the connection, or nothing moves for two minutes. A peer that tries
    /// TLS is answered in HTTP, with 400, and dropped; that is no error.
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
            Route::Blob(digest) => self.blob(&digest, &head.headers, with_body).await,
            Route::Uploads | Route::Upload(_) => Err(Refusal::unsupported()),
        }
    }

    /// The length is sent with HEAD too: the containerd image store takes its absence for an empty manifest.
    async fn manifest(&self, reference: Reference, with_body: bool) -> Answer {
        if let Reference::Digest(digest) = &reference
            && let Some(beginning) = self.beginning(|beginning| beginning.digest == *digest)
        {
            let media_type = self.image.media_type.as_str();
            return Ok(in_memory(media_type, digest, beginning.manifest, with_body));
        }
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
        Ok(in_memory(manifest.media_type().as_str(), digest, content, with_body))
    }

    async fn blob(&self, digest: &Digest, headers: &HeaderMap, with_body: bool) -> Answer {
        if let Some(beginning) = self.beginning(|beginning| beginning.config_digest == *digest) {
            return Ok(in_memory(OCTETS, digest, beginning.config, with_body));
        }
        let part = self.image.parts().find(|part| part.digest == *digest);
        let part = part.ok_or_else(|| Refusal::unknown_blob(digest))?;
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
            .with(CONTENT_TYPE, OCTETS)
            .with(CONTENT_LENGTH, length)
            .with(ACCEPT_RANGES, "bytes")
            .with(DOCKER_CONTENT_DIGEST, &part.digest);
        if !with_body {
            return Ok(reply);
        }
        self.meter.add_promised(length);
        let turn = self.turn_of(&part.digest);
        Ok(reply.body(streamed(self.store.get_range(&part.digest, range).await?, turn, self.pace.clone())))
    }

    /// The config comes before all layers.
    fn turn_of(&self, digest: &Digest) -> Turn {
        let layer = self.image.layers.iter().position(|layer| layer.digest == *digest);
        if let Some(layer) = layer {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(layer);
        }
        self.turns.take(layer.unwrap_or_default())
    }

    fn beginning(&self, is: impl Fn(&Beginning) -> bool) -> Option<Beginning> {
        let beginnings = self.beginnings.lock().unwrap_or_else(PoisonError::into_inner);
        beginnings.iter().find(|beginning| is(beginning)).cloned()
    }
}

fn in_memory(media_type: &str, digest: &Digest, content: impl Into<Bytes>, with_body: bool) -> Reply {
    let content = content.into();
    let reply = Reply::new(StatusCode::OK)
        .with(CONTENT_TYPE, media_type)
        .with(CONTENT_LENGTH, content.len())
        .with(DOCKER_CONTENT_DIGEST, digest);
    if with_body { reply.body(full(content)) } else { reply }
}
