//! GitHub: pushes of branches and tags, and images in its registry (GHCR).
//!
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>,
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>

use cutover_core::{Digest, Occasion};
use serde::Deserialize;

use super::push::Push;
use crate::delivery::Delivery;
use crate::event::{Event, Told};
use crate::refusal::Refusal;
use crate::signature::Key;

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
/// Commits that a push lists at most.
const COMMITS: usize = 2048;

#[derive(Deserialize)]
struct Packaged {
    action: String,
    #[serde(alias = "package")]
    registry_package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    namespace: Option<String>,
    package_type: String,
    package_version: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    container_metadata: Option<Container>,
}

#[derive(Deserialize)]
struct Container {
    tag: Option<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: Option<String>,
    digest: Option<String>,
}

pub(crate) fn authenticate(delivery: &Delivery<'_>, key: &Key) -> Result<(), Refusal> {
    key.verify_hex(delivery, SIGNATURE, "sha256=")
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    match delivery.header(EVENT) {
        Some("ping") => Ok(Told::Nothing("a ping".to_owned())),
        Some("push") => delivery.json::<Push>()?.told(COMMITS),
        Some("registry_package" | "package") => packaged(delivery.json()?),
        Some(other) => Ok(Told::Nothing(format!("nothing is deployed for the event {other}"))),
        None => Err(Refusal::Body(format!("there is no {EVENT}"))),
    }
}

fn packaged(told: Packaged) -> Result<Told, Refusal> {
    let package = told.registry_package;
    let tag = package.package_version.and_then(|version| version.container_metadata?.tag);
    let (Some(Tag { name, digest: Some(digest) }), "published" | "updated") = (tag, told.action.as_str())
    else {
        return Ok(Told::Nothing(format!("a {} package that was {}", package.package_type, told.action)));
    };
    let digest: Digest =
        digest.parse().map_err(|error: cutover_core::InvalidDigest| Refusal::Body(error.to_string()))?;
    let repository = package.namespace.iter().chain([&package.name]).cloned().collect::<Vec<_>>().join("/");
    let tag = name.filter(|name| !name.is_empty());
    Ok(Told::one(Event::of(Occasion::Image { repository, digest, tag })))
}
