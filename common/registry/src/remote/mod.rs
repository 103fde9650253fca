//! A registry that is a server of its own.

mod challenge;
mod client;
mod entry;

use std::sync::Arc;

use bytes::Bytes;
use cutover_core::Repository;
use cutover_secrets::Secret;
use cutover_store::{Digest, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::LOCATION;
use hyper::{Method, Response, StatusCode};
use url::Url;

use crate::manifest::{Descriptor, LIMIT, MediaType};
use crate::pace::Pace;
use crate::remote::client::{Client, Content, streamed};
use crate::traffic::Meter;
use crate::{Error, Image, Result, Traffic};

/// Parts of an image that are sent at once.
const AT_ONCE: usize = 3;
/// How much of an answer is read that says why, in bytes.
const REASON_LIMIT: usize = 64 * 1024;

/// A repository of a registry elsewhere, into which images are put (OCI distribution specification 1.1, "Push"). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    meter: Meter,
}

impl Remote {
    /// The repository, entered with that password. As Docker does it, a registry on this machine's own loopback is spoken to
    /// without TLS; all others must have a certificate that this machine trusts.
    ///
    /// # Errors
    /// A machine that has no certificates to trust; a name that is no registry's.
    pub fn new(repository: &Repository, password: Secret) -> Result<Self> {
        let client = Client::new(repository, password)?;
        Ok(Self { shared: Arc::new(Shared { client, meter: Meter::default() }) })
    }

    /// Puts the image there, and nothing of it that is there already, no faster than at `pace`. Its manifest comes last: who
    /// finds that finds all of the image.
    ///
    /// # Errors
    /// A registry that can't be reached, doesn't let in or refuses; a store that fails.
    pub async fn put(&self, store: &Store, image: &Image, pace: &Pace) -> Result<()> {
        let client = &self.shared.client;
        let manifest = format!("manifests/{}", image.manifest);
        if client.has(&manifest, Some(image.media_type.as_str())).await? {
            return Ok(());
        }
        let parts: Vec<Descriptor> = image.parts().cloned().collect();
        let parts = parts.into_iter().map(|part| self.put_part(store, part, pace));
        stream::iter(parts).buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        self.put_manifest(store, &image.manifest, image.media_type).await
    }

    /// How much has been sent so far, and of how much.
    pub fn traffic(&self) -> Traffic {
        self.shared.meter.read()
    }

    async fn put_part(&self, store: &Store, part: Descriptor, pace: &Pace) -> Result<()> {
        let Shared { client, meter } = &*self.shared;
        if client.has(&format!("blobs/{}", part.digest), None).await? {
            return Ok(());
        }
        let begun = client.ask(Method::POST, "blobs/uploads/", Content::default()).await?;
        let begun = client.expect(StatusCode::ACCEPTED, "begin an upload", begun).await?;
        let mut at = client.location(&begun)?;
        at.query_pairs_mut().append_pair("digest", part.digest.as_str());
        meter.add_promised(part.size);
        let body = streamed(store.get(&part.digest).await?, pace.clone(), meter.clone());
        let sent = client.upload(at, part.size, body).await?;
        client.expect(StatusCode::CREATED, "take a layer", sent).await.map(drop)
    }

    async fn put_manifest(&self, store: &Store, digest: &Digest, media_type: MediaType) -> Result<()> {
        let content = store.get_bytes(digest, LIMIT as u64).await?;
        let content = Content { bytes: content, media_type: Some(media_type.as_str()) };
        let client = &self.shared.client;
        let put = client.ask(Method::PUT, &format!("manifests/{digest}"), content).await?;
        client.expect(StatusCode::CREATED, "take the image's manifest", put).await.map(drop)
    }
}

impl Client {
    /// Whether that is there. Some registries keep content elsewhere, and send whoever asks for it there.
    async fn has(&self, path: &str, media_type: Option<&'static str>) -> Result<bool> {
        let asked = Content { bytes: Bytes::new(), media_type };
        let answer = self.ask(Method::HEAD, path, asked).await?;
        match answer.status() {
            status if status.is_success() || status.is_redirection() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused("say what it has", answer).await),
        }
    }

    async fn expect(
        &self,
        status: StatusCode,
        doing: &'static str,
        answer: Response<Incoming>,
    ) -> Result<Response<Incoming>> {
        if answer.status() == status { Ok(answer) } else { Err(self.refused(doing, answer).await) }
    }

    /// Where the registry wants what comes next: a URL, or a path of its own.
    fn location(&self, answer: &Response<Incoming>) -> Result<Url> {
        let text = answer.headers().get(LOCATION).and_then(|at| at.to_str().ok());
        let at = text.and_then(|text| self.base().join(text).ok());
        at.ok_or_else(|| Error::Refused {
            registry: self.registry().to_owned(),
            doing: "begin an upload",
            status: answer.status(),
            reason: "it doesn't say where to send the content".to_owned(),
        })
    }

    async fn refused(&self, doing: &'static str, answer: Response<Incoming>) -> Error {
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), REASON_LIMIT).collect().await;
        let reason = body.ok().and_then(|body| reason(&body.to_bytes())).unwrap_or_default();
        let registry = self.registry().to_owned();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::NotLetIn { registry, username: self.username().to_owned(), status, reason }
            }
            status => Error::Refused { registry, doing, status, reason },
        }
    }
}

/// What a registry's answer says (OCI distribution specification, "Error Codes").
fn reason(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors: Errors = serde_json::from_slice(body).ok()?;
    let first = errors.errors.into_iter().next()?;
    Some(format!("{} ({})", first.message, first.code))
}
