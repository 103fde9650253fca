//! Registries: notifications of CNCF Distribution, and webhooks of Harbor in both of its formats.
//!
//! <https://distribution.github.io/distribution/about/notifications/>,
//! <https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/>

use cutover_core::{Digest, EventId, InvalidDigest, Occasion};
use serde::Deserialize;

use crate::delivery::Delivery;
use crate::event::{Event, Told};
use crate::refusal::Refusal;

/// What either sends.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sent {
    Distribution {
        events: Vec<Notification>,
    },
    Harbor {
        #[serde(rename = "type")]
        kind: String,
        #[serde(alias = "data")]
        event_data: Artifacts,
    },
}

#[derive(Deserialize)]
struct Notification {
    id: EventId,
    action: String,
    target: Target,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    media_type: Option<String>,
    digest: Option<String>,
    repository: Option<String>,
    tag: Option<String>,
}

#[derive(Deserialize)]
struct Artifacts {
    resources: Vec<Resource>,
    repository: Repository,
}

#[derive(Deserialize)]
struct Resource {
    digest: String,
    tag: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    repo_full_name: String,
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    match delivery.json()? {
        Sent::Distribution { events } => {
            let events = events.into_iter().filter_map(|event| event.event().transpose());
            Ok(Told::any(events.collect::<Result<_, _>>()?, "no image was pushed"))
        }
        Sent::Harbor { kind, event_data }
            if matches!(kind.as_str(), "PUSH_ARTIFACT" | "harbor.artifact.pushed") =>
        {
            let Artifacts { resources, repository } = event_data;
            let event = |resource: Resource| {
                let (repository, digest) = (repository.repo_full_name.clone(), parse(&resource.digest)?);
                // Harbor writes the digest where there is no tag.
                let tag = resource.tag.filter(|tag| !tag.is_empty() && !tag.contains(':'));
                Ok(Event::of(Occasion::Image { repository, digest, tag }))
            };
            Ok(Told::any(resources.into_iter().map(event).collect::<Result<_, _>>()?, "no image was pushed"))
        }
        Sent::Harbor { kind, .. } => Ok(Told::Nothing(format!("nothing is deployed for the event {kind}"))),
    }
}

impl Notification {
    /// The push of an image; none: of a layer, or something else than a push.
    fn event(self) -> Result<Option<Event>, Refusal> {
        let Target { media_type, digest, repository, tag } = self.target;
        let is_image =
            media_type.is_some_and(|kind| kind.contains("manifest") || kind.contains("image.index"));
        match (self.action.as_str(), repository, digest) {
            ("push", Some(repository), Some(digest)) if is_image => {
                let digest = parse(&digest)?;
                Ok(Some(Event {
                    id: Some(self.id),
                    ..Event::of(Occasion::Image { repository, digest, tag })
                }))
            }
            _ => Ok(None),
        }
    }
}

fn parse(digest: &str) -> Result<Digest, Refusal> {
    digest.parse().map_err(|error: InvalidDigest| Refusal::Body(error.to_string()))
}
