//! What BuildKit is asked to make of a build context.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HostSpec, Reference};

/// Labels that say where an image comes from (OCI image specification, "Pre-Defined Annotation Keys"). They differ from one
/// release to the next also where nothing in the image does.
pub mod origin {
    /// When the image was asked for, as in RFC 3339.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// The commit.
    pub const REVISION: &str = "org.opencontainers.image.revision";
    /// The URL of the repository.
    pub const SOURCE: &str = "org.opencontainers.image.source";
    /// The name of the release.
    pub const VERSION: &str = "org.opencontainers.image.version";

    /// All of them.
    pub const LABELS: [&str; 4] = [CREATED, REVISION, SOURCE, VERSION];
}

/// What BuildKit is asked to make of a build context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The Dockerfile's path inside the context.
    pub dockerfile: String,
    /// The stage of the Dockerfile to build; the last where none is named.
    pub target: Option<String>,
    /// Build arguments. They end up in the image's history: no place for secrets.
    pub args: BTreeMap<String, String>,
    /// Labels that are added to those of the Dockerfile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What `RUN --mount=type=secret` may read, by its id. The builder reads the values; they are in no layer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Reference>,
    /// Which keys `RUN --mount=type=ssh` may sign with, by its id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ssh: BTreeMap<String, SshKeys>,
    /// What the image is to run on, as in `linux/arm64`; the builder's own where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Images whose layers may be used again, where they were built with their cache in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_from: Vec<String>,
    /// Whether the image tells how its layers were made, so that another build can name it in `cache_from`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline_cache: bool,
    /// Whether every step runs, also one whose result is known from an earlier build.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// The registry that base images and caches are pulled from with a name and a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryLogin>,
    /// The machine whose Docker Engine builds; none: the builder's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<HostSpec>,
}

/// How a private registry is entered. The builder reads the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// Its host, with its port where it has one, as in an image's name; `docker.io` is Docker Hub.
    pub server: String,
    /// The user.
    pub username: String,
    /// The password, or the token that stands for it.
    pub password: Reference,
}

impl RegistryLogin {
    /// Whether an image of that name is pulled from there. A name whose first part can't be a host is one of Docker Hub.
    pub fn has(&self, image: &str) -> bool {
        let host = image.split_once('/').map(|(host, _)| host);
        let host = host.filter(|host| host.contains(['.', ':']) || *host == "localhost");
        host.unwrap_or("docker.io") == self.server
    }
}

/// Which SSH keys a build may sign with. It never sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SshKeys {
    /// Those of the agent that the builder's environment names (`SSH_AUTH_SOCK`).
    Agent,
    /// One private key, without a passphrase.
    Key(Reference),
}

/// A text that names no SSH keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "SSH keys are `agent`, for those of the builder's agent, or a reference to a private key, such as file:///path; the text \
     given is neither (it is not repeated here, as it may be the key itself)"
)]
pub struct InvalidSshKeys;

impl Default for Recipe {
    fn default() -> Self {
        Self {
            dockerfile: "Dockerfile".to_owned(),
            target: None,
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            platform: None,
            cache_from: Vec::new(),
            inline_cache: false,
            no_cache: false,
            registry: None,
            remote: None,
        }
    }
}

impl Recipe {
    /// Whether both make the same image of the same context, as far as one can say without building. What only helps the build
    /// along (keys, caches, where a secret's value is found) doesn't count, nor do the labels that say where an image comes from.
    pub fn makes_the_same(&self, other: &Self) -> bool {
        // Named one by one: a new field must be thought of.
        let Self {
            dockerfile,
            target,
            args,
            labels,
            secrets,
            ssh: _,
            platform,
            cache_from: _,
            inline_cache,
            no_cache: _,
            registry: _,
            remote,
        } = self;
        let own = |(name, _): &(&String, &String)| !origin::LABELS.contains(&name.as_str());
        *dockerfile == other.dockerfile
            && *target == other.target
            && *args == other.args
            && labels.iter().filter(own).eq(other.labels.iter().filter(own))
            && secrets.keys().eq(other.secrets.keys())
            && *platform == other.platform
            // Of which platform another machine is, nobody knows here.
            && (platform.is_some() || *remote == other.remote)
            && *inline_cache == other.inline_cache
    }

    /// Whether it says something that builders of protocol 3 would leave out.
    pub(crate) fn needs_protocol_4(&self) -> bool {
        let Self { dockerfile, target, args, .. } = self;
        let older = Self {
            dockerfile: dockerfile.clone(),
            target: target.clone(),
            args: args.clone(),
            ..Self::default()
        };
        *self != older
    }

    /// Whether it says something that builders of protocol 4 would leave out.
    pub(crate) const fn needs_protocol_5(&self) -> bool {
        self.remote.is_some()
    }
}

impl FromStr for SshKeys {
    type Err = InvalidSshKeys;

    fn from_str(text: &str) -> Result<Self, InvalidSshKeys> {
        if text == "agent" {
            Ok(Self::Agent)
        } else {
            text.parse().map(Self::Key).map_err(|_| InvalidSshKeys)
        }
    }
}

impl TryFrom<String> for SshKeys {
    type Error = InvalidSshKeys;

    fn try_from(text: String) -> Result<Self, InvalidSshKeys> {
        text.parse()
    }
}

impl From<SshKeys> for String {
    fn from(keys: SshKeys) -> Self {
        keys.to_string()
    }
}

impl fmt::Display for SshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Key(reference) => reference.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn map<T: FromStr<Err: fmt::Debug>>(name: &str, value: &str) -> BTreeMap<String, T> {
        BTreeMap::from([(name.to_owned(), value.parse().unwrap())])
    }

    #[test]
    fn only_what_ends_up_in_the_image_counts() {
        let plain = Recipe::default();
        let same = [
            Recipe { labels: map(origin::REVISION, "abc"), ..Recipe::default() },
            Recipe { ssh: map("default", "agent"), ..Recipe::default() },
            Recipe { cache_from: vec!["hello".to_owned()], ..Recipe::default() },
            Recipe { no_cache: true, ..Recipe::default() },
        ];
        for recipe in same {
            assert!(plain.makes_the_same(&recipe) && recipe.makes_the_same(&plain), "{recipe:?}");
        }
        let other = [
            Recipe { dockerfile: "other".to_owned(), ..Recipe::default() },
            Recipe { target: Some("prod".to_owned()), ..Recipe::default() },
            Recipe { args: map("A", "b"), ..Recipe::default() },
            Recipe { labels: map("team", "shop"), ..Recipe::default() },
            Recipe { secrets: map("token", "env://TOKEN"), ..Recipe::default() },
            Recipe { platform: Some("linux/arm64".to_owned()), ..Recipe::default() },
            Recipe { inline_cache: true, ..Recipe::default() },
        ];
        for recipe in other {
            assert!(!plain.makes_the_same(&recipe) && !recipe.makes_the_same(&plain), "{recipe:?}");
        }
        let on = |remote: &str, platform: Option<&str>| Recipe {
            remote: remote.parse().ok(),
            platform: platform.map(str::to_owned),
            ..Recipe::default()
        };
        assert!(!plain.makes_the_same(&on("ssh://arm.example.com", None)), "it may be another platform");
        let amd64 = Some("linux/amd64");
        assert!(on("ssh://arm.example.com", amd64).makes_the_same(&on("", amd64)));
        let moved = |at| Recipe { secrets: map("token", at), ..Recipe::default() };
        assert!(moved("env://TOKEN").makes_the_same(&moved("file:///run/secrets/token")));
    }

    #[test]
    fn an_image_belongs_to_the_registry_that_its_name_begins_with() {
        let login = |server: &str| RegistryLogin {
            server: server.to_owned(),
            username: "anna".to_owned(),
            password: "env://PASSWORD".parse().unwrap(),
        };
        for (server, image, has) in [
            ("ghcr.io", "ghcr.io/acme/hello:1", true),
            ("ghcr.io", "ghcr.io.example.com/hello", false),
            ("localhost:5000", "localhost:5000/hello", true),
            ("localhost:5000", "localhost/hello", false),
            ("docker.io", "acme/hello", true),
            ("docker.io", "debian:12", true),
            ("ghcr.io", "acme/hello", false),
        ] {
            assert_eq!(login(server).has(image), has, "{server} {image}");
        }
    }
}
