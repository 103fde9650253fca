//! How an image was made, for whoever has to vouch for it: an in-toto statement (in-toto attestation framework, Statement v1)
//! with the provenance of SLSA v1.0 in it. It says what the builder has seen, and leaves out the rest.

use std::collections::BTreeMap;

use cutover_core::{Digest, GitSource, HostSpec, Plan, Recipe};
use serde::Serialize;

use crate::Base;
use crate::engine::Identity;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// What says how the parameters below are meant.
const BUILD_TYPE: &str = "urn:cutover:build:1";

/// What is known of an image that was built.
pub(crate) struct Made<'a> {
    /// The deployment that asked for it.
    pub(crate) plan: &'a Plan,
    /// What BuildKit was asked to do.
    pub(crate) recipe: &'a Recipe,
    /// The build context.
    pub(crate) context: &'a Digest,
    /// The repository and the commit that the context was got from, by the builder itself.
    pub(crate) git: Option<(&'a GitSource, &'a str)>,
    /// The images that it was built on.
    pub(crate) bases: &'a [Base],
    /// Its manifest.
    pub(crate) image: &'a Digest,
    /// Who built it.
    pub(crate) engine: &'a Identity,
    /// When the builder began and ended, as in RFC 3339.
    pub(crate) times: [String; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Resource<'a>; 1],
    predicate_type: &'static str,
    predicate: Provenance<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Provenance<'a> {
    build_definition: Definition<'a>,
    run_details: Run<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition<'a> {
    build_type: &'static str,
    external_parameters: External<'a>,
    internal_parameters: Internal<'a>,
    resolved_dependencies: Vec<Resource<'a>>,
}

/// What whoever deployed has asked for. Of secrets and keys there are the names alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct External<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    git: Option<Git<'a>>,
    dockerfile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    args: &'a BTreeMap<String, String>,
    labels: &'a BTreeMap<String, String>,
    secrets: Vec<&'a str>,
    ssh: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    cache_from: &'a [String],
    no_cache: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

#[derive(Serialize)]
struct Git<'a> {
    url: &'a str,
    #[serde(rename = "ref")]
    reference: &'a str,
    folder: &'a str,
}

#[derive(Serialize)]
struct Internal<'a> {
    machine: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    builder: BuiltBy<'a>,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct BuiltBy<'a> {
    id: String,
    version: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    invocation_id: &'a str,
    started_on: &'a str,
    finished_on: &'a str,
}

/// A thing and its digest (in-toto's ResourceDescriptor).
#[derive(Serialize)]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'static str, &'a str>,
}

impl<'a> Resource<'a> {
    fn named(name: &'a str, digest: &'a Digest) -> Self {
        Self { name: Some(name), uri: None, digest: sha256(digest) }
    }

    /// Without its digest, where BuildKit didn't say it: it had the image already, by that name.
    fn base(base: &'a Base) -> Self {
        let uri = Some(format!("docker-image://{}", base.name));
        Self { name: None, uri, digest: base.digest.as_ref().map(sha256).unwrap_or_default() }
    }

    fn commit((source, commit): (&'a GitSource, &'a str)) -> Self {
        let digest = BTreeMap::from([("gitCommit", commit)]);
        Self { name: None, uri: Some(format!("git+{}", source.url)), digest }
    }
}

fn sha256(digest: &Digest) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([("sha256", digest.hex())])
}

impl<'a> Made<'a> {
    /// The statement.
    pub(crate) fn statement(&'a self) -> Statement<'a> {
        let bases = self.bases.iter().map(Resource::base);
        let context = Resource::named("context", self.context);
        let commit = self.git.map(Resource::commit);
        let [started_on, finished_on] = &self.times;
        Statement {
            kind: STATEMENT,
            subject: [Resource::named(self.plan.key.service.as_str(), self.image)],
            predicate_type: PREDICATE,
            predicate: Provenance {
                build_definition: Definition {
                    build_type: BUILD_TYPE,
                    external_parameters: self.external(),
                    internal_parameters: Internal { machine: &self.engine.machine },
                    resolved_dependencies: [context].into_iter().chain(commit).chain(bases).collect(),
                },
                run_details: Run {
                    builder: BuiltBy {
                        id: format!("docker-engine:{}", self.engine.id),
                        version: BTreeMap::from([
                            ("cutover-builder", env!("CARGO_PKG_VERSION")),
                            ("docker", self.engine.version.as_str()),
                        ]),
                    },
                    metadata: Metadata {
                        invocation_id: self.plan.deployment.as_str(),
                        started_on,
                        finished_on,
                    },
                },
            },
        }
    }

    fn external(&self) -> External<'_> {
        // Named one by one: what is added to a recipe must be thought of.
        let Recipe {
            dockerfile,
            target,
            args,
            labels,
            secrets,
            ssh,
            platform,
            cache_from,
            inline_cache: _,
            no_cache,
            registry: _,
            remote,
        } = self.recipe;
        External {
            git: self.git.map(|(GitSource { url, reference, folder, .. }, _)| Git { url, reference, folder }),
            dockerfile,
            target: target.as_deref(),
            args,
            labels,
            secrets: secrets.keys().map(String::as_str).collect(),
            ssh: ssh.keys().map(String::as_str).collect(),
            platform: platform.as_deref(),
            cache_from,
            no_cache: *no_cache,
            remote: remote.as_ref().map(HostSpec::to_string),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{DeployFile, Intent, Release, Sealed, Source};

    use super::*;

    fn plan() -> Plan {
        let file = "service: hello\nimage: hello\ndestinations: {production: {hosts: [203.0.113.7]}}";
        let target = DeployFile::parse(file, "cutover.yaml").unwrap().destination(None).unwrap();
        let source = Source::Image("hello".to_owned());
        let release =
            Release { version: "v1".to_owned(), source, settings: target.settings, migrations: Vec::new() };
        Plan {
            protocol: 2,
            deployment: "01arz3ndektsv4rrffq69g5fav".parse().unwrap(),
            key: target.key,
            by: "anna@laptop".to_owned(),
            untimely: false,
            sealed: Sealed::new(),
            intent: Intent::Deploy,
            stages: Plan::stages_for(&release, None, &cutover_core::SidecarImages::new()),
            release,
            image: None,
            sidecar_images: cutover_core::SidecarImages::new(),
            warm: None,
            replaces: None,
            hosts: target.hosts,
        }
    }

    #[test]
    fn a_statement_says_what_was_seen_and_no_more() {
        let [context, image, base] = [b"context".as_slice(), b"image", b"base"].map(Digest::of);
        let recipe = Recipe {
            secrets: [("token".to_owned(), "env://TOKEN".parse().unwrap())].into(),
            remote: Some("ssh://root@build.example.com".parse().unwrap()),
            ..Recipe::default()
        };
        let source = GitSource {
            url: "https://example.com/hello.git".to_owned(),
            reference: "main".to_owned(),
            commit: None,
            folder: ".".to_owned(),
            key: Some("env://KEY".parse().unwrap()),
            recipe: Box::default(),
        };
        let name = |name: &str| format!("docker.io/library/{name}");
        let bases = [
            Base { name: name("debian:12"), digest: Some(base.clone()) },
            Base { name: name("hello:base"), digest: None },
        ];
        let made = Made {
            plan: &plan(),
            recipe: &recipe,
            context: &context,
            git: Some((&source, "abc")),
            bases: &bases,
            image: &image,
            engine: &Identity { id: "A:B".to_owned(), machine: "big".to_owned(), version: "26.1".to_owned() },
            times: ["2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"].map(str::to_owned),
        };
        let text = serde_json::to_string_pretty(&made.statement()).unwrap();
        let expected = include_str!("provenance/statement.json")
            .replace("CONTEXT", context.hex())
            .replace("IMAGE", image.hex())
            .replace("BASE", base.hex())
            .replace("VERSION", env!("CARGO_PKG_VERSION"));
        assert_eq!(text, expected.trim_end());
    }
}
