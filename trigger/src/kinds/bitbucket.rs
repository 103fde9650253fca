//! Bitbucket Cloud: pushes of branches and tags. It says of no file whether it is different.
//!
//! <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>,
//! <https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/>

use cutover_core::{Occasion, Ref};
use serde::Deserialize;

use crate::delivery::Delivery;
use crate::event::{Event, Told, commit};
use crate::refusal::Refusal;
use crate::signature::Key;

const SIGNATURE: &str = "x-hub-signature";
const EVENT: &str = "x-event-key";

#[derive(Deserialize)]
struct Pushed {
    push: Push,
    repository: Repository,
}

#[derive(Deserialize)]
struct Push {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    /// None: it is gone.
    new: Option<New>,
}

#[derive(Deserialize)]
struct New {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    hash: String,
}

#[derive(Deserialize)]
struct Repository {
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Links {
    html: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

pub(crate) fn authenticate(delivery: &Delivery<'_>, key: &Key) -> Result<(), Refusal> {
    key.verify_hex(delivery, SIGNATURE, "sha256=")
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    match delivery.header(EVENT) {
        Some("repo:push") => pushed(delivery.json()?),
        Some(other) => Ok(Told::Nothing(format!("nothing is deployed for the event {other}"))),
        None => Err(Refusal::Body(format!("there is no {EVENT}"))),
    }
}

fn pushed(told: Pushed) -> Result<Told, Refusal> {
    let repository = told.repository.links.and_then(|links| Some(links.html?.href));
    let mut events = Vec::new();
    for New { kind, name, target } in told.push.changes.into_iter().filter_map(|change| change.new) {
        let of = match kind.as_str() {
            "branch" => Ref::Branch(name),
            "tag" | "annotated_tag" => Ref::Tag(name),
            _ => continue,
        };
        if let Some(id) = commit(&target.hash)? {
            events.push(Event::of(Occasion::Commit { id, of, repository: repository.clone() }));
        }
    }
    Ok(Told::any(events, "no branch or tag is at another commit"))
}
