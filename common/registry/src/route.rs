//! What a request is about, from its path.

use std::fmt;

use cutover_store::Digest;
use hyper::StatusCode;

use crate::reply::{Code, Refusal};

/// The end points of the distribution API that are served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`: does a registry answer here?
    Base,
    /// `/v2/<name>/blobs/<digest>`
    Blob(Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads,
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(u64),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(Reference),
}

/// What names a manifest within a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Route {
    /// Reads the path of a request to the registry of one `repository`; any other repository is unknown.
    pub(crate) fn parse(path: &str, repository: &str) -> Result<Self, Refusal> {
        if matches!(path, "/v2" | "/v2/") {
            return Ok(Self::Base);
        }
        let within =
            path.strip_prefix("/v2/").and_then(|path| path.strip_prefix(repository)?.strip_prefix('/'));
        let Some(within) = within else {
            let message = "no such repository here";
            return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NameUnknown, message));
        };
        match within.split('/').collect::<Vec<_>>().as_slice() {
            ["blobs", "uploads"] | ["blobs", "uploads", ""] => Ok(Self::Uploads),
            ["blobs", "uploads", id] => id.parse().map(Self::Upload).map_err(|_| unknown_upload(id)),
            ["blobs", digest] => self::digest(digest).map(Self::Blob),
            ["manifests", reference] if reference.contains(':') => {
                Ok(Self::Manifest(Reference::Digest(self::digest(reference)?)))
            }
            ["manifests", tag] => Ok(Self::Manifest(Reference::Tag(self::tag(tag)?))),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, Code::Unsupported, "no such end point here")),
        }
    }
}

/// Reads a digest that a peer sent.
pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    let parsed = text.parse::<Digest>();
    parsed.map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, e.to_string()))
}

/// Refuses an upload that never began, has been finished or was given up.
pub(crate) fn unknown_upload(id: impl fmt::Display) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, Code::BlobUploadUnknown, format!("upload {id} is not open"))
}

/// Reads a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution specification, "Pulling manifests").
fn tag(text: &str) -> Result<String, Refusal> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let valid = text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if valid { Ok(text.to_owned()) } else { Err(Refusal::unknown_manifest(text)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn paths_of_the_repository_are_known() {
        let route = |path: &str| Route::parse(path, "cutover/app").unwrap();
        let digest: Digest = DIGEST.parse().unwrap();
        assert_eq!(route("/v2/"), Route::Base);
        assert_eq!(route("/v2/cutover/app/blobs/uploads/"), Route::Uploads);
        assert_eq!(route("/v2/cutover/app/blobs/uploads/7"), Route::Upload(7));
        assert_eq!(route(&format!("/v2/cutover/app/blobs/{DIGEST}")), Route::Blob(digest.clone()));
        let by_digest = Route::Manifest(Reference::Digest(digest));
        assert_eq!(route(&format!("/v2/cutover/app/manifests/{DIGEST}")), by_digest);
        let by_tag = Route::Manifest(Reference::Tag("v1.0-rc_1".to_owned()));
        assert_eq!(route("/v2/cutover/app/manifests/v1.0-rc_1"), by_tag);
    }

    #[test]
    fn everything_else_is_refused() {
        for path in [
            "/",
            "/v1/",
            "/v2/_catalog",
            "/v2/cutover/application/manifests/latest",
            "/v2/cutover/app",
            "/v2/cutover/app/tags/list",
            "/v2/cutover/app/blobs/..%2f..%2fetc%2fpasswd",
            "/v2/cutover/app/blobs/../../../etc/passwd",
            "/v2/cutover/app/blobs/uploads/../x",
            "/v2/cutover/app/manifests/-x",
            "/v2/cutover/app/manifests/",
            "/v2/cutover/app/manifests/sha256:short",
        ] {
            assert!(Route::parse(path, "cutover/app").is_err(), "{path}");
        }
    }
}
