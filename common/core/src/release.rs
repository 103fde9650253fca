//! A release: what goes live. Immutable, named by its content, kept for rollback.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::probe::need_protocol_7;
use crate::{
    BackfillTerms, Canary, Container, ContractTerms, Digest, Engine, LockTerms, MigrationFile, Model,
    ProbeSpec, Probes, Rails, Recipe, Reference, RegistryLogin, RehearsalTerms, ReleaseId, Repository,
    Resources, Role, Routing, Sidecar, Span, Via,
};

/// What goes live: where the image comes from, how it runs, and the migrations that it needs.
///
/// The image's digest is not part of it: it is the output of the build, bound to the release in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The name of the source in front of people: a commit, a tag, or the context's digest.
    pub version: String,
    /// Where the image comes from.
    pub source: Source,
    /// How it runs.
    pub settings: Settings,
    /// The migrations that it needs, in order.
    pub migrations: Vec<MigrationFile>,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A build context, packed as a tar archive in the artifact store.
    Context(BuildContext),
    /// A commit, which the builder gets from its repository.
    Git(GitSource),
    /// An image that exists: in the builder's Docker, or in a registry that it can pull from.
    Image(String),
    /// The same, in a registry that asks for a password.
    Private(PrivateImage),
}

/// An image in a registry that asks for a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateImage {
    /// Its name.
    pub image: String,
    /// How the registry is entered.
    pub registry: RegistryLogin,
}

/// A build context and what BuildKit is asked to make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildContext {
    /// The archive in the artifact store.
    pub archive: Digest,
    /// What is made of it.
    #[serde(flatten)]
    pub recipe: Box<Recipe>,
}

/// A commit of a Git repository, and what BuildKit is asked to make of a folder in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// Where the repository is, as the builder reaches it. No password is in it.
    pub url: String,
    /// What was asked for: a branch, a tag, a commit, or `HEAD`.
    pub reference: String,
    /// The full name of the commit that this was when the plan was made; none where whoever made it couldn't ask: the builder
    /// does, then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The folder of the build context in the repository.
    pub folder: String,
    /// The private key that the repository is reached with over SSH; none: those of the builder's agent and user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Reference>,
    /// What is made of it.
    #[serde(flatten)]
    pub recipe: Box<Recipe>,
}

/// How a release runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The port that the application listens on, inside its container.
    pub port: u16,
    /// Replicas per host.
    pub replicas: u32,
    /// The command instead of the image's own; empty: the image's own.
    pub command: Vec<String>,
    /// Environment in the clear.
    pub env: BTreeMap<String, String>,
    /// Environment by reference.
    pub secrets: BTreeMap<String, Reference>,
    /// Limits of one replica.
    pub resources: Resources,
    /// How its container is made.
    pub container: Container,
    /// When a replica is ready.
    pub readiness: ProbeSpec,
    /// What it is asked beside that. It isn't written where there is nothing, so that the release's id is the one that it had
    /// before there was this setting.
    #[serde(default, skip_serializing_if = "Probes::are_absent")]
    pub probes: Probes,
    /// How traffic reaches it.
    pub proxy: Routing,
    /// The steps in which it gets the traffic. It isn't written where there are none, so that the release's id is the one that
    /// it had before there was this setting.
    #[serde(default, skip_serializing_if = "Canary::is_absent")]
    pub canary: Canary,
    /// How long, and by what measure, it is watched once it has the traffic; the measure is that of a canary, too.
    pub soak: Soak,
    /// Limits of the waits.
    pub timeouts: Timeouts,
    /// The repository through which the image gets to the hosts; none: over SSH, from the artifact store. It isn't written
    /// then, so that the release's id is the one that it had before there was this setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The database that the migrations run on.
    pub database: Option<Reference>,
    /// From where it is reached. It isn't written where that is the migrator, so that the release's id is the one that it had before
    /// there was this setting.
    #[serde(default, skip_serializing_if = "Via::is_direct")]
    pub via: Via,
    /// The kind of that database.
    #[serde(default, skip_serializing_if = "Engine::is_postgresql")]
    pub engine: Engine,
    /// How the application's own Rails runs the migrations; none: the migrator does, as they are SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rails: Option<Rails>,
    /// When the last phase of migrations may begin.
    #[serde(default, skip_serializing_if = "ContractTerms::are_usual")]
    pub contract: ContractTerms,
    /// How hard migrations ask for locks.
    #[serde(default, skip_serializing_if = "LockTerms::are_usual")]
    pub locks: LockTerms,
    /// How backfills work beside the traffic.
    #[serde(default, skip_serializing_if = "BackfillTerms::are_usual")]
    pub backfill: BackfillTerms,
    /// Where migrations run before they run on the database; none: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalTerms>,
    /// Roles beside the one that gets traffic, no two of a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Models beside the image, no two of a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// Services of their own beside the replicas of each host, no two of a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<Sidecar>,
    /// How long the replicas that this release replaces go on running, so that going back to them is a switch and nothing
    /// else. No time at all: they stop at once. It isn't written then, so that the release's id is the one that it had before
    /// there was this setting.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub warm: Span,
    /// Releases kept for rollback, the live one not counted.
    pub retain: u32,
}

/// How a release is watched once it has the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soak {
    /// For how long. No time at all: not watched.
    pub time: Span,
    /// The share of server errors, in thousandths, above which it is taken back.
    pub max_errors_per_mille: u32,
    /// Requests below which the share says nothing.
    pub min_requests: u64,
}

/// Limits of the waits of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until a new replica is ready.
    pub ready: Span,
    /// For requests of the old version to end.
    pub drain: Span,
    /// For its streams and WebSockets; nothing: as long as its requests. It isn't written then, so that the release's id is
    /// the one that it had before there was this setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_streams: Option<Span>,
    /// Between the stop signal and the kill of a replica.
    pub stop: Span,
    /// For a build.
    pub build: Span,
    /// For sending an image to a host.
    pub ship: Span,
    /// For the expand migrations.
    pub migrate: Span,
    /// For bringing rows over, all tables together. The usual one isn't written, so that the release's id is the one that it had
    /// before there was this setting.
    #[serde(default = "a_day", skip_serializing_if = "is_a_day")]
    pub backfill: Span,
}

fn a_day() -> Span {
    Span::seconds(86_400)
}

fn is_a_day(span: &Span) -> bool {
    *span == a_day()
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            ready: Span::seconds(30),
            drain: Span::seconds(30),
            drain_streams: None,
            stop: Span::seconds(10),
            build: Span::seconds(1800),
            ship: Span::seconds(1800),
            migrate: Span::seconds(600),
            backfill: a_day(),
        }
    }
}

impl Timeouts {
    /// For all that the old version has in flight to end.
    pub fn longest_drain(&self) -> Span {
        self.drain_streams.map_or(self.drain, |streams| streams.max(self.drain))
    }
}

impl Settings {
    /// Whether a worker that knows protocol 3 of the journal would leave something out of them.
    pub(crate) fn needs_protocol_4(&self) -> bool {
        !self.roles.is_empty() || self.resources.needs_protocol_4() || self.container.needs_protocol_4()
    }

    /// Whether a worker that knows protocol 5 of the journal would take migrations of Rails for SQL, or leave out a canary.
    pub(crate) fn needs_protocol_6(&self) -> bool {
        self.rails.is_some() || !self.canary.is_absent()
    }

    /// Whether a worker that knows protocol 6 of the journal would ask replicas something else or less, would take a canary
    /// otherwise, would run as root what mustn't, would ask for locks and bring rows over by its own measure, would rehearse
    /// nothing, would give a role what it is to be without, or look for a secret where it isn't.
    pub(crate) fn needs_protocol_7(&self) -> bool {
        need_protocol_7(&self.readiness, &self.probes)
            || self.canary.needs_protocol_7()
            || self.container.non_root
            || !self.via.is_direct()
            || !self.locks.are_usual()
            || !self.backfill.are_usual()
            || self.rehearsal.is_some()
            || !self.sidecars.is_empty()
            || self.roles.iter().any(|role| !role.without.is_empty())
            || !self.needed_secrets().is_empty()
    }

    /// Whether a worker that knows protocol 4 of the journal would leave something out of them.
    pub(crate) fn needs_protocol_5(&self) -> bool {
        self.repository.is_some() || !self.engine.is_postgresql() || !self.models.is_empty()
    }
}

impl Source {
    /// Whether the image of the other is the one that would be built of this. An image that is named by a tag is never known to
    /// be the same: tags move.
    pub fn makes_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Context(one), Self::Context(other)) => {
                one.archive == other.archive && one.recipe.makes_the_same(&other.recipe)
            }
            // A commit has the same files wherever it is got from.
            (Self::Git(one), Self::Git(other)) => {
                one.commit.is_some()
                    && one.commit == other.commit
                    && one.folder == other.folder
                    && one.recipe.makes_the_same(&other.recipe)
            }
            (one, other) => match (one.image(), other.image()) {
                (Some(image), Some(same)) => image == same && one.is_pinned(),
                _ => false,
            },
        }
    }

    /// Whether it stays what it is.
    pub fn is_pinned(&self) -> bool {
        match self {
            Self::Context(_) => true,
            Self::Git(git) => git.commit.is_some(),
            Self::Image(image) | Self::Private(PrivateImage { image, .. }) => image.contains("@sha256:"),
        }
    }

    /// The name of an image that exists; none where one is built.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Image(image) | Self::Private(PrivateImage { image, .. }) => Some(image),
            Self::Context(_) | Self::Git(_) => None,
        }
    }

    /// What BuildKit is asked to do; none where there is nothing to build.
    pub fn recipe(&self) -> Option<&Recipe> {
        match self {
            Self::Context(context) => Some(&context.recipe),
            Self::Git(git) => Some(&git.recipe),
            Self::Image(_) | Self::Private(_) => None,
        }
    }

    /// Whether workers of protocol 3 would leave out a part of it.
    pub(crate) fn needs_protocol_4(&self) -> bool {
        match self {
            Self::Context(context) => context.recipe.needs_protocol_4(),
            Self::Git(_) | Self::Private(_) => true,
            Self::Image(_) => false,
        }
    }

    /// Whether workers of protocol 4 would leave out a part of it.
    pub(crate) fn needs_protocol_5(&self) -> bool {
        self.recipe().is_some_and(Recipe::needs_protocol_5)
    }
}

impl Release {
    /// Whether workers of protocol 6 would read something of it otherwise, or not at all.
    pub(crate) fn needs_protocol_7(&self) -> bool {
        self.settings.needs_protocol_7() || !self.built_with().is_empty()
    }

    /// Whether workers of protocol 4 would take something of it for something else.
    pub(crate) fn needs_protocol_5(&self) -> bool {
        self.migrations.iter().any(|file| !file.phase.is_expand())
            || self.settings.needs_protocol_5()
            || self.source.needs_protocol_5()
    }

    /// The release's id: made of its content alone, the same wherever it is computed. What the sources of its models looked like
    /// is no part of that.
    pub fn id(&self) -> ReleaseId {
        let mut content = self.clone();
        content.settings.models.iter_mut().for_each(|model| model.seen = None);
        // Serialising maps with text keys into memory can't fail; an empty text would only be one more id.
        ReleaseId::of(&serde_json::to_vec(&content).unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_source_from_before_there_were_recipes_is_read_and_written_as_it_was() {
        let archive = Digest::of(b"context");
        let text = format!(
            r#"{{"context":{{"archive":"{archive}","dockerfile":"Dockerfile","target":null,"args":{{"A":"b"}}}}}}"#
        );
        let source: Source = serde_json::from_str(&text).unwrap();
        let args = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        let recipe = Recipe { args, ..Recipe::default() };
        assert_eq!(source, Source::Context(BuildContext { archive, recipe: Box::new(recipe) }));
        assert_eq!(serde_json::to_string(&source).unwrap(), text);
        assert!(!source.needs_protocol_4());
    }

    #[test]
    fn what_a_builder_of_before_would_leave_out_needs_a_newer_one() {
        let recipe = Recipe { platform: Some("linux/arm64".to_owned()), ..Recipe::default() };
        let source =
            Source::Context(BuildContext { archive: Digest::of(b"context"), recipe: Box::new(recipe) });
        assert!(source.needs_protocol_4());
        let text = serde_json::to_string(&source).unwrap();
        assert_eq!(serde_json::from_str::<Source>(&text).unwrap(), source);
    }

    #[test]
    fn a_way_through_a_registry_is_written_only_where_there_is_one() {
        let text =
            r#"{"server":"ghcr.io","username":"anna","password":"env://PASSWORD","repository":"acme/hello"}"#;
        let repository: Repository = serde_json::from_str(text).unwrap();
        let target = crate::DeployFile::parse(
            "service: hello\nimage: hello\ndestinations: {production: {hosts: [203.0.113.7]}}",
            "cutover.yaml",
        );
        let settings = target.unwrap().destination(None).unwrap().settings;
        assert!(!settings.needs_protocol_5());
        assert!(!serde_json::to_string(&settings).unwrap().contains("repository"));
        let through = Settings { repository: Some(repository), ..settings };
        assert!(through.needs_protocol_5());
        let written = serde_json::to_string(&through).unwrap();
        assert!(written.contains(&format!(r#""repository":{text}"#)), "{written}");
        assert_eq!(serde_json::from_str::<Settings>(&written).unwrap(), through);
    }

    #[test]
    fn what_a_models_source_looked_like_makes_no_other_release() {
        let text = "service: hello\nimage: hello\ndestinations: {production: {hosts: [203.0.113.7]}}";
        let target = crate::DeployFile::parse(text, "cutover.yaml").unwrap().destination(None).unwrap();
        let release = |version: &[u8], seen: Option<&[u8]>| {
            let model = Model {
                name: "ranker".parse().unwrap(),
                version: Digest::of(version),
                mount: "/models/ranker".to_owned(),
                seen: seen.map(Digest::of),
            };
            let settings = Settings { models: vec![model], ..target.settings.clone() };
            let source = Source::Image("hello".to_owned());
            Release { version: "hello".to_owned(), source, settings, migrations: Vec::new() }
        };
        let pinned = release(b"version", None).id();
        assert_eq!(release(b"version", Some(b"tags")).id(), pinned);
        assert_eq!(release(b"version", Some(b"other tags")).id(), pinned);
        assert_ne!(release(b"other version", Some(b"tags")).id(), pinned);
    }

    #[test]
    fn a_commit_is_the_same_wherever_it_is_got_from() {
        let commit = |commit: Option<&str>, url: &str| {
            Source::Git(GitSource {
                url: url.to_owned(),
                reference: "main".to_owned(),
                commit: commit.map(str::to_owned),
                folder: ".".to_owned(),
                key: None,
                recipe: Box::default(),
            })
        };
        let known = commit(Some("abc"), "https://example.com/hello.git");
        assert!(known.is_pinned() && known.needs_protocol_4());
        assert!(known.makes_the_same(&commit(Some("abc"), "git@example.com:hello.git")));
        assert!(!known.makes_the_same(&commit(Some("abd"), "https://example.com/hello.git")));
        let unknown = commit(None, "https://example.com/hello.git");
        assert!(!unknown.is_pinned() && !unknown.makes_the_same(&unknown));
    }

    #[test]
    fn a_tag_is_never_known_to_be_the_same_image() {
        let image = |name: &str| Source::Image(name.to_owned());
        assert!(!image("hello:v1").makes_the_same(&image("hello:v1")));
        assert!(image("hello@sha256:00").makes_the_same(&image("hello@sha256:00")));
    }
}
