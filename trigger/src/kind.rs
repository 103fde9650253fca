//! The kinds of sources: how they sign, and what they tell.

use std::str::FromStr;

use cutover_core::Timestamp;

use crate::delivery::Delivery;
use crate::event::Told;
use crate::kinds::{bitbucket, gitea, github, gitlab, registry, s3, signed};
use crate::refusal::Refusal;
use crate::signature::Key;

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GitHub, its packages (GHCR) too.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
    /// Bitbucket Cloud.
    Bitbucket,
    /// A registry: CNCF Distribution, or Harbor.
    Registry,
    /// A bucket whose server tells of objects over HTTP.
    S3,
    /// Anybody who signs as it is asked for here.
    Signed,
}

/// A word that is no kind.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no kind of source: one of github, gitlab, gitea, forgejo, bitbucket, registry, s3, signed")]
pub struct UnknownKind(String);

impl Kind {
    /// Whether a delivery is by somebody who knows the secret.
    pub(crate) fn authenticate(
        self,
        delivery: &Delivery<'_>,
        key: &Key,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match self {
            Self::Github => github::authenticate(delivery, key),
            Self::Gitlab => gitlab::authenticate(delivery, key, now),
            Self::Gitea => gitea::authenticate(delivery, key),
            Self::Bitbucket => bitbucket::authenticate(delivery, key),
            Self::Registry | Self::S3 => key.verify_authorization(delivery),
            Self::Signed => signed::authenticate(delivery, key, now),
        }
    }

    /// What a delivery tells.
    pub(crate) fn read(self, delivery: &Delivery<'_>) -> Result<Told, Refusal> {
        match self {
            Self::Github => github::read(delivery),
            Self::Gitlab => gitlab::read(delivery),
            Self::Gitea => gitea::read(delivery),
            Self::Bitbucket => bitbucket::read(delivery),
            Self::Registry => registry::read(delivery),
            Self::S3 => s3::read(delivery),
            Self::Signed => signed::read(delivery),
        }
    }

    /// What it calls a delivery, for people.
    pub(crate) const fn delivery_header(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("x-github-delivery"),
            Self::Gitlab => Some("x-gitlab-event-uuid"),
            Self::Gitea => Some("x-gitea-delivery"),
            Self::Bitbucket => Some("x-request-uuid"),
            Self::Registry | Self::S3 | Self::Signed => None,
        }
    }

    /// The keys of a filter that mean something for it.
    pub(crate) const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Github => &["branches", "tags", "paths", "images"],
            Self::Gitlab | Self::Gitea => &["branches", "tags", "paths"],
            Self::Bitbucket => &["branches", "tags"],
            Self::Registry => &["images", "tags"],
            Self::S3 => &["objects"],
            Self::Signed => &["branches", "tags", "images", "objects"],
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "github" => Ok(Self::Github),
            "gitlab" => Ok(Self::Gitlab),
            "gitea" | "forgejo" => Ok(Self::Gitea),
            "bitbucket" => Ok(Self::Bitbucket),
            "registry" => Ok(Self::Registry),
            "s3" => Ok(Self::S3),
            "signed" => Ok(Self::Signed),
            _ => Err(UnknownKind(text.to_owned())),
        }
    }
}
