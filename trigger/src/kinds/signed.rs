//! Anybody: a small document, signed together with the time.

use cutover_core::{CommitId, Digest, EventId, Occasion, Ref, Timestamp};
use serde::Deserialize;

use crate::delivery::Delivery;
use crate::event::{Event, Told};
use crate::refusal::Refusal;
use crate::signature::{Key, is_now};

/// Seconds since 1970.
const TIME: &str = "cutover-timestamp";
/// `sha256=` and the HMAC-SHA-256 of the time, a point and the body, in hex digits.
const SIGNATURE: &str = "cutover-signature";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    id: EventId,
    commit: Option<CommitId>,
    branch: Option<String>,
    tag: Option<String>,
    image: Option<Image>,
    object: Option<Object>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    repository: String,
    digest: Digest,
    tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    bucket: String,
    key: String,
    version: Option<String>,
}

pub(crate) fn authenticate(delivery: &Delivery<'_>, key: &Key, now: Timestamp) -> Result<(), Refusal> {
    let time = delivery.header(TIME).ok_or(Refusal::Unsigned(TIME))?;
    key.verify_hex_of(delivery, SIGNATURE, "sha256=", &[time.as_bytes(), b".", delivery.body])?;
    is_now(TIME, time, now)
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    let Sent { id, commit, branch, tag, image, object } = delivery.json()?;
    let of = match (branch, tag) {
        (Some(name), None) => Some(Ref::Branch(name)),
        (None, Some(name)) => Some(Ref::Tag(name)),
        _ => None,
    };
    let occasion = match (commit, of, image, object) {
        (Some(id), Some(of), None, None) => Occasion::Commit { id, of, repository: None },
        (None, None, Some(Image { repository, digest, tag }), None) => {
            Occasion::Image { repository, digest, tag }
        }
        (None, None, None, Some(Object { bucket, key, version })) => {
            Occasion::Object { bucket, key, version }
        }
        _ => {
            let needed = "one of `commit` with `branch` or `tag`, `image` and `object`";
            return Err(Refusal::Body(format!("expected {needed}")));
        }
    };
    Ok(Told::one(Event { id: Some(id), ..Event::of(occasion) }))
}
