//! The registry that takes one image in.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cutover_store::{Digest, Store, Upload};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use url::form_urlencoded;

use crate::manifest::{LIMIT, Manifest, MediaType};
use crate::reply::{Answer, Code, DOCKER_CONTENT_DIGEST, Refusal, Reply, full};
use crate::route::{self, Reference, Route, unknown_upload};
use crate::traffic::Meter;
use crate::{Result, Traffic, connection};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// A registry whose one repository takes an image into the store. Peers learn which blobs are there already, so that
/// they needn't send them, but can read none. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PushRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    repository: String,
    meter: Meter,
    uploads: Mutex<Uploads>,
    pushed: Mutex<Pushed>,
}

/// The open uploads. Each is locked by itself while a piece of it arrives, so that several layers come at once.
#[derive(Debug, Default)]
struct Uploads {
    next: u64,
    open: HashMap<u64, Arc<Mutex<Upload>>>,
}

/// The manifests that were pushed here.
#[derive(Debug, Default)]
struct Pushed {
    tags: HashMap<String, Digest>,
    manifests: HashMap<Digest, (MediaType, Bytes)>,
}

impl PushRegistry {
    /// Takes images into `store` as `repository`, for example `cutover/app`: lower-case path components of a Docker
    /// image name.
    pub fn new(store: Store, repository: impl Into<String>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                repository: repository.into(),
                meter: Meter::default(),
                uploads: Mutex::default(),
                pushed: Mutex::default(),
            }),
        }
    }

    /// Serves a peer on `stream` until it closes the connection, or nothing moves for two minutes. A peer that tries
    /// TLS is answered in HTTP, with 400, and dropped; that is no error.
    pub async fn serve_connection<S>(&self, stream: S) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        connection::serve(stream, &self.shared.meter, |request| self.shared.handle(request)).await
    }

    /// The digest of the manifest that was pushed as `tag`: all that it names is in the store by then.
    pub async fn pushed(&self, tag: &str) -> Option<Digest> {
        self.shared.pushed.lock().await.tags.get(tag).cloned()
    }

    /// How much has travelled so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.meter.read()
    }
}

impl Shared {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        match (&head.method, Route::parse(head.uri.path(), &self.repository)?) {
            (&Method::GET | &Method::HEAD, Route::Base) => Ok(Reply::new(StatusCode::OK).body(full("{}"))),
            (&Method::HEAD, Route::Blob(digest)) => self.blob(&digest).await,
            (&Method::POST, Route::Uploads) => self.begin(&head, body).await,
            (&Method::GET, Route::Upload(id)) => {
                let size = self.open_upload(id).await?.lock().await.size();
                Ok(self.at(StatusCode::NO_CONTENT, id, size))
            }
            (&Method::PATCH, Route::Upload(id)) => self.append(id, &head, body).await,
            (&Method::PUT, Route::Upload(id)) => self.complete(id, &head, body).await,
            (&Method::DELETE, Route::Upload(id)) => {
                self.take_upload(id).await?;
                Ok(Reply::new(StatusCode::NO_CONTENT))
            }
            (&Method::GET, Route::Manifest(reference)) => self.manifest(&reference, true).await,
            (&Method::HEAD, Route::Manifest(reference)) => self.manifest(&reference, false).await,
            (&Method::PUT, Route::Manifest(reference)) => self.put_manifest(reference, &head, body).await,
            _ => Err(Refusal::unsupported()),
        }
    }

    /// What is here already isn't sent, so it must stay until the image that it becomes a part of is named somewhere.
    async fn blob(&self, digest: &Digest) -> Answer {
        let _working = self.meter.work();
        let size = self.store.renew(digest).await?.ok_or_else(|| Refusal::unknown_blob(digest))?;
        Ok(Reply::new(StatusCode::OK)
            .with(CONTENT_TYPE, "application/octet-stream")
            .with(CONTENT_LENGTH, size)
            .with(DOCKER_CONTENT_DIGEST, digest))
    }

    /// Begins an upload; with `digest`, the whole of it comes at once; with `mount`, it may be here already, from
    /// whichever repository.
    async fn begin(&self, head: &Parts, body: Incoming) -> Answer {
        if let Some(digest) = parameter(head, "mount").and_then(|digest| digest.parse().ok())
            && self.store.renew(&digest).await?.is_some()
        {
            return Ok(self.stored(&digest));
        }
        let mut upload = self.store.upload().await?;
        if let Some(digest) = parameter(head, "digest") {
            let digest = route::digest(&digest)?;
            receive(&mut upload, body).await?;
            let _working = self.meter.work();
            upload.finish(Some(&digest)).await?;
            return Ok(self.stored(&digest));
        }
        let mut uploads = self.uploads.lock().await;
        uploads.next += 1;
        let id = uploads.next;
        uploads.open.insert(id, Arc::new(Mutex::new(upload)));
        Ok(self.at(StatusCode::ACCEPTED, id, 0))
    }

    /// Takes a piece of an upload. A piece that breaks off keeps what has come: the peer asks where to go on.
    async fn append(&self, id: u64, head: &Parts, body: Incoming) -> Answer {
        let upload = self.open_upload(id).await?;
        let mut upload = upload.lock().await;
        if first_byte(head).is_some_and(|first| first != upload.size()) {
            return Ok(self.at(StatusCode::RANGE_NOT_SATISFIABLE, id, upload.size()));
        }
        receive(&mut upload, body).await?;
        Ok(self.at(StatusCode::ACCEPTED, id, upload.size()))
    }

    async fn complete(&self, id: u64, head: &Parts, body: Incoming) -> Answer {
        let digest = route::digest(&parameter(head, "digest").unwrap_or_default())?;
        let upload = self.take_upload(id).await?;
        // A piece may still be arriving on a connection that the peer has given up.
        let mut upload = Arc::into_inner(upload).ok_or_else(|| unknown_upload(id))?.into_inner();
        receive(&mut upload, body).await?;
        let _working = self.meter.work();
        upload.finish(Some(&digest)).await?;
        Ok(self.stored(&digest))
    }

    async fn manifest(&self, reference: &Reference, with_body: bool) -> Answer {
        let pushed = self.pushed.lock().await;
        let digest = match reference {
            Reference::Tag(tag) => pushed.tags.get(tag),
            Reference::Digest(digest) => Some(digest),
        };
        let found = digest.and_then(|digest| pushed.manifests.get_key_value(digest));
        let (digest, (media_type, content)) = found.ok_or_else(|| Refusal::unknown_manifest(reference))?;
        let reply = Reply::new(StatusCode::OK)
            .with(CONTENT_TYPE, media_type.as_str())
            .with(CONTENT_LENGTH, content.len())
            .with(DOCKER_CONTENT_DIGEST, digest);
        Ok(if with_body { reply.body(full(content.clone())) } else { reply })
    }

    async fn put_manifest(&self, reference: Reference, head: &Parts, body: Incoming) -> Answer {
        let invalid = |message: String| Refusal::new(StatusCode::BAD_REQUEST, Code::ManifestInvalid, message);
        let content = Limited::new(body, LIMIT).collect().await.map_err(|e| {
            let message = format!("a manifest of at most {LIMIT} bytes was expected: {e}");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message)
        })?;
        let content = content.to_bytes();
        let manifest = Manifest::parse(&content).map_err(|e| match std::error::Error::source(&e) {
            Some(cause) => invalid(format!("{e}: {cause}")),
            None => invalid(e.to_string()),
        })?;
        let media_type = manifest.media_type();
        let declared = head.headers.get(CONTENT_TYPE).map(|declared| declared.as_bytes());
        if declared.is_some_and(|declared| declared != media_type.as_str().as_bytes()) {
            return Err(invalid(format!("it is a {}, not what Content-Type says", media_type.as_str())));
        }
        let digest = Digest::of(&content);
        if let Reference::Digest(expected) = &reference
            && *expected != digest
        {
            let message = format!("the digest of what came is {digest}, not {expected}");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, message));
        }
        self.require_parts(&manifest).await?;
        self.store.put_bytes(&content).await?;

        let mut pushed = self.pushed.lock().await;
        pushed.manifests.insert(digest.clone(), (media_type, content));
        if let Reference::Tag(tag) = &reference {
            pushed.tags.insert(tag.clone(), digest.clone());
        }
        Ok(Reply::new(StatusCode::CREATED)
            .with(LOCATION, format!("/v2/{}/manifests/{digest}", self.repository))
            .with(DOCKER_CONTENT_DIGEST, digest))
    }

    /// An image comes after its parts. An index may list platforms that nobody has sent.
    async fn require_parts(&self, manifest: &Manifest) -> std::result::Result<(), Refusal> {
        let Manifest::Image { config, layers, .. } = manifest else { return Ok(()) };
        for part in std::iter::once(config).chain(layers) {
            if self.store.renew(&part.digest).await? != Some(part.size) {
                let message = format!("{} of {} bytes was not sent before", part.digest, part.size);
                return Err(Refusal::new(StatusCode::NOT_FOUND, Code::ManifestBlobUnknown, message));
            }
        }
        Ok(())
    }

    async fn open_upload(&self, id: u64) -> std::result::Result<Arc<Mutex<Upload>>, Refusal> {
        self.uploads.lock().await.open.get(&id).cloned().ok_or_else(|| unknown_upload(id))
    }

    async fn take_upload(&self, id: u64) -> std::result::Result<Arc<Mutex<Upload>>, Refusal> {
        self.uploads.lock().await.open.remove(&id).ok_or_else(|| unknown_upload(id))
    }

    fn stored(&self, digest: &Digest) -> Reply {
        Reply::new(StatusCode::CREATED)
            .with(LOCATION, format!("/v2/{}/blobs/{digest}", self.repository))
            .with(DOCKER_CONTENT_DIGEST, digest)
    }

    /// Says how far an upload has come. Nothing yet is written `0-0`, as the reference registry does.
    fn at(&self, status: StatusCode, id: u64, size: u64) -> Reply {
        Reply::new(status)
            .with(LOCATION, format!("/v2/{}/blobs/uploads/{id}", self.repository))
            .with(RANGE, format!("0-{}", size.saturating_sub(1)))
            .with(DOCKER_UPLOAD_UUID, id)
    }
}

async fn receive(upload: &mut Upload, mut body: Incoming) -> std::result::Result<(), Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            let message = format!("the upload broke off after {} bytes: {e}", upload.size());
            Refusal::new(StatusCode::BAD_REQUEST, Code::BlobUploadInvalid, message)
        })?;
        if let Some(piece) = frame.data_ref() {
            upload.write(piece).await?;
        }
    }
    Ok(())
}

fn parameter(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Where a piece says that it begins: `Content-Range: <first>-<last>`, without a unit (distribution specification,
/// "Pushing a blob in chunks").
fn first_byte(head: &Parts) -> Option<u64> {
    head.headers.get(CONTENT_RANGE)?.to_str().ok()?.split_once('-')?.0.trim().parse().ok()
}
