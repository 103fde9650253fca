//! The section `models`: files beside the image, each with a source and a version of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::error::{Place, Problem, Problems};
use super::option::container_path;
use super::section::Section;
use crate::{Container, Digest, ModelName};

/// A model as the deploy file asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedModel {
    /// Its name.
    pub name: ModelName,
    /// Where it comes from.
    pub source: ModelSource,
    /// The version that is wanted; none: what is found there.
    pub version: Option<Digest>,
    /// The folder in which the replicas find it.
    pub mount: String,
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A file or a folder: relative to the deploy file, or a whole path.
    Folder(String),
    /// All objects of a bucket below a prefix, `s3://bucket/prefix?endpoint=…`.
    Bucket(String),
    /// A file on the web.
    Web {
        /// Its URL, `https://…`.
        url: String,
        /// The digest that its content has.
        content: Digest,
    },
}

/// A text that says no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidSource {
    #[error("'{0}' is no source of a model: write s3://bucket/prefix, https://… or file:path")]
    Unknown(String),
    #[error("'{0}' is not encrypted: anybody on the way could change it; write https://")]
    Plain(String),
    #[error("'{0}' names no file or folder: write it as in file:models/minilm")]
    NoPath(String),
    #[error("'{0}' names no bucket: write it as in s3://models/minilm")]
    NoBucket(String),
}

#[derive(Clone)]
enum RawSource {
    Folder(String),
    Bucket(String),
    Web(String),
}

impl FromStr for RawSource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let own = || text.to_owned();
        if let Some(path) = text.strip_prefix("file:") {
            // Both notations of RFC 8089 for a file of this machine.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(InvalidSource::NoPath(own()))
            } else {
                Ok(Self::Folder(path.to_owned()))
            };
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let named = rest.starts_with(|c: char| c.is_ascii_alphanumeric());
            return if named { Ok(Self::Bucket(own())) } else { Err(InvalidSource::NoBucket(own())) };
        }
        if text.starts_with("http://") {
            return Err(InvalidSource::Plain(own()));
        }
        let is_web =
            text.strip_prefix("https://").is_some_and(|rest| !rest.starts_with('/') && !rest.is_empty());
        if is_web { Ok(Self::Web(own())) } else { Err(InvalidSource::Unknown(own())) }
    }
}

/// A model as it stands in the file.
#[derive(Clone)]
pub(super) struct RawModel {
    place: Place,
    source: Option<RawSource>,
    content: Option<Digest>,
    version: Option<Version>,
    mount: Option<String>,
}

#[derive(Clone)]
enum Version {
    Latest,
    Pinned(Digest),
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no version of a model: write latest, or sha256: and 64 hex digits as `cutover plan` shows them"
)]
struct InvalidVersion(String);

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        text.parse().map(Self::Pinned).map_err(|_| InvalidVersion(text.to_owned()))
    }
}

/// Models by name.
pub(super) type Models = BTreeMap<ModelName, RawModel>;

/// Reads the section.
pub(super) fn models(section: &Section<'_>, problems: &mut Problems) -> Models {
    let mut all = Models::new();
    for entry in section.entries {
        let path = section.path_of(&entry.key);
        let name = entry.key.parse::<ModelName>();
        if let Err(error) = &name {
            problems.add(Problem::new(&path, entry.place, error.to_string()));
        }
        let Some(mut part) = Section::of(path, &entry.node, problems) else { continue };
        let model = RawModel {
            place: entry.place,
            source: part.value("source", str::parse, problems),
            content: part.value("sha256", content, problems),
            version: part.value("version", str::parse, problems),
            mount: part.value("mount", container_path, problems),
        };
        part.done(problems);
        all.extend(name.ok().map(|name| (name, model)));
    }
    all
}

/// A digest as `sha256sum` writes it, or as everything else here does.
fn content(text: &str) -> Result<Digest, impl fmt::Display + use<>> {
    let whole = if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") };
    whole.parse::<Digest>()
}

/// Those of a destination over those of the file, key by key.
pub(super) fn over(own: Models, under: Models) -> Models {
    let mut all = under;
    for (name, model) in own {
        let laid = match all.remove(&name) {
            Some(under) => RawModel {
                place: model.place,
                // The digest is that of its own source.
                content: model.content.or(under.content.filter(|_| model.source.is_none())),
                source: model.source.or(under.source),
                version: model.version.or(under.version),
                mount: model.mount.or(under.mount),
            },
            None => model,
        };
        all.insert(name, laid);
    }
    all
}

/// What a destination makes of them.
pub(super) fn resolved(
    models: Models,
    container: &Container,
    destination: &str,
    problems: &mut Problems,
) -> Vec<WantedModel> {
    let mut all: Vec<WantedModel> = Vec::new();
    for (name, model) in models {
        let path = format!("models.{name}");
        let mount = model.mount.unwrap_or_else(|| format!("/models/{name}"));
        let volumes = container.volumes.iter().map(|volume| &volume.target);
        if all.iter().map(|other| &other.mount).chain(volumes).any(|other| *other == mount) {
            let message = format!("something else is mounted at {mount} already");
            problems.add(Problem::new(&format!("{path}.mount"), model.place, message));
        }
        let source = match (model.source, model.content) {
            (Some(RawSource::Folder(folder)), None) => ModelSource::Folder(folder),
            (Some(RawSource::Bucket(bucket)), None) => ModelSource::Bucket(bucket),
            (Some(RawSource::Web(url)), Some(content)) => ModelSource::Web { url, content },
            (Some(RawSource::Web(_)), None) => {
                let missing = Problem::new(&path, model.place, "no sha256 is given of what is at that URL");
                problems.add(missing.hint("add `sha256: …`, as its publisher or `sha256sum` says it"));
                continue;
            }
            (Some(_), Some(_)) => {
                let needless =
                    Problem::new(&format!("{path}.sha256"), model.place, "only files on the web have it");
                problems
                    .add(needless.hint("pin a version with `version: sha256:…`, as `cutover plan` shows it"));
                continue;
            }
            (None, _) => {
                let message = format!("no source is given for destination '{destination}'");
                let missing = Problem::new(&path, model.place, message);
                problems.add(
                    missing.hint("say where it is: `source: s3://bucket/prefix`, `https://…` or `file:path`"),
                );
                continue;
            }
        };
        let version = match model.version {
            Some(Version::Pinned(version)) => Some(version),
            Some(Version::Latest) | None => None,
        };
        all.push(WantedModel { name, source, version, mount });
    }
    all
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{path}"),
            Self::Bucket(text) => f.write_str(text),
            // Where an address is signed, its query lets whoever reads it in.
            Self::Web { url, .. } => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
        }
    }
}
