//! Secrets in a key-value store, of version 1 or 2.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::Error;
use super::answer::{Data, Mount, Versioned};
use super::http::{Answer, Session};
use crate::field::Field;

/// A secret.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its fields.
    pub(crate) fields: BTreeMap<String, Field>,
    /// Which version it is; none of a store without versions.
    pub(crate) version: Option<u64>,
}

/// A place in a store.
struct Place {
    mount: String,
    rest: String,
    has_versions: bool,
}

/// Reads a secret.
pub(super) async fn read(session: &Session, path: &str, version: Option<NonZeroU32>) -> Result<Entry, Error> {
    let place = place(session, path).await?;
    if place.has_versions {
        versioned(session, &place, version).await
    } else {
        plain(session, place, version).await
    }
}

/// Where the mount of a path ends, and what it is, as `vault kv` finds it out. A server that doesn't tell has the usual: the
/// mount is the first part, and of version 2.
async fn place(session: &Session, path: &str) -> Result<Place, Error> {
    let question = format!("sys/internal/ui/mounts/{path}");
    let answer = session.get(&question).await?;
    if answer.status != 200 {
        let (mount, rest) = path.split_once('/').unwrap_or((path, ""));
        return Ok(Place { mount: mount.to_owned(), rest: rest.to_owned(), has_versions: true });
    }
    let not_understood = || Error::Answer { server: session.http.server(), path: question.clone() };
    let Data { data: Mount { path: mount, kind, options } } = answer.read().ok_or_else(not_understood)?;
    // It ends with a slash, so that a path that is no more than a mount doesn't begin with it.
    let missing = || Error::Missing { path: path.to_owned(), version: false };
    let rest = path.strip_prefix(&mount).ok_or_else(missing)?.to_owned();
    let mount = mount.trim_end_matches('/').to_owned();
    if !matches!(kind.as_str(), "kv" | "generic") {
        return Err(Error::OtherEngine { mount, kind });
    }
    let has_versions = options.and_then(|options| options.version).as_deref() == Some("2");
    Ok(Place { mount, rest, has_versions })
}

async fn versioned(session: &Session, place: &Place, version: Option<NonZeroU32>) -> Result<Entry, Error> {
    let path = format!("{}/data/{}", place.mount, place.rest);
    let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
    let answer = session.get(&format!("{path}{query}")).await?;
    match (answer.status, answer.read()) {
        (200, Some(Data { data: Versioned { data: Some(fields), metadata } })) => {
            Ok(Entry { fields, version: Some(metadata.version) })
        }
        (404, Some(Data { data: Versioned { metadata, .. } })) => {
            Err(Error::Deleted { path, version: metadata.version, destroyed: metadata.destroyed })
        }
        _ => Err(refused(session, path, &answer, version.is_some()).await),
    }
}

async fn plain(session: &Session, place: Place, version: Option<NonZeroU32>) -> Result<Entry, Error> {
    if version.is_some() {
        return Err(Error::NoVersions { mount: place.mount });
    }
    let path = format!("{}/{}", place.mount, place.rest);
    let answer = session.get(&path).await?;
    match (answer.status, answer.read()) {
        (200, Some(Data { data: fields })) => Ok(Entry { fields, version: None }),
        _ => Err(refused(session, path, &answer, false).await),
    }
}

/// Why there is no secret.
async fn refused(session: &Session, path: String, answer: &Answer, version: bool) -> Error {
    let server = session.http.server();
    match answer.status {
        200 => Error::Answer { server, path },
        404 => Error::Missing { path, version },
        // A token that isn't known is refused in the same words as one that may not. It may always ask about itself, unless
        // somebody has taken the default policy from it.
        403 => match session.get("auth/token/lookup-self").await {
            Ok(about) if about.status == 403 => Error::InvalidToken { server },
            _ => Error::Forbidden { path },
        },
        status => Error::Refused { server, path, status, said: answer.said() },
    }
}
