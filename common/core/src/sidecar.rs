//! Sidecars: services of their own beside the replicas of a host, such as a server of a model. Nobody else reaches them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Container, DeploymentId, Digest, ModelName, ProbeSpec, Probes, Reference, Resources, Routing, Settings,
    SidecarName, Source, Span,
};

/// A sidecar. The replicas of a release reach it by its name and its port, on a network that they alone are on with it.
///
/// `S` is where its image comes from: the source of a release, or what a deploy file says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar<S = Source> {
    /// Its name; that of no role.
    pub name: SidecarName,
    /// Where its image comes from.
    pub source: S,
    /// The port that it listens on.
    pub port: u16,
    /// Containers of it on each host.
    pub replicas: u32,
    /// Whether versions share it that want the same of it.
    pub per: Per,
    /// The command instead of the image's own; empty: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment in the clear.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment by reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Reference>,
    /// The models of the release that are mounted in it, and in none of the replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelName>,
    /// Limits of one container.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// How the container is made.
    pub container: Container,
    /// Whether it reaches anything outside. Otherwise there is no way out of its network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub egress: bool,
    /// When it is ready.
    pub readiness: ProbeSpec,
    /// What it is asked beside that.
    #[serde(default, skip_serializing_if = "Probes::are_absent")]
    pub probes: Probes,
    /// Between the stop signal and the kill.
    pub stop: Span,
}

/// Whose a sidecar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// All versions share its containers, as long as they want the same of it. It has no secrets: a value may be another one for
    /// each version, which nobody could tell by looking.
    Service,
    /// Each version has its own.
    Release,
}

/// An image in the artifact store, and how it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// Its manifest.
    pub image: Digest,
    /// An in-toto statement in the store; none of an image that was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
}

/// The images of sidecars.
pub type SidecarImages = BTreeMap<SidecarName, BuiltImage>;

impl<S> Sidecar<S> {
    /// It, with another word for where its image comes from.
    pub fn with<T>(self, source: impl FnOnce(S) -> T) -> Sidecar<T> {
        Sidecar {
            source: source(self.source),
            name: self.name,
            port: self.port,
            replicas: self.replicas,
            per: self.per,
            command: self.command,
            env: self.env,
            secrets: self.secrets,
            models: self.models,
            resources: self.resources,
            container: self.container,
            egress: self.egress,
            readiness: self.readiness,
            probes: self.probes,
            stop: self.stop,
        }
    }
}

impl Sidecar {
    /// What makes its containers another than those of another release: all that is said of it, its image, the versions of its
    /// models; and the deployment, where each version has its own.
    pub fn generation(&self, settings: &Settings, booted_by: &DeploymentId, image: &Digest) -> Generation {
        let models: Vec<_> = settings.models_of(self).map(|model| (&model.version, &model.mount)).collect();
        let own: Option<&DeploymentId> = (self.per == Per::Release).then_some(booted_by);
        // Where its image came from, its probes and its stop make no other container.
        let made = (
            (&self.port, &self.command, &self.env, &self.resources, &self.container, self.egress),
            self.secrets.keys().collect::<Vec<_>>(),
            models,
            own,
        );
        // Serialising into memory can't fail; an empty text would only be one more generation.
        let text = serde_json::to_vec(&(image, made)).unwrap_or_default();
        Generation(Digest::of(&text).short().chars().take(8).collect())
    }

    /// The settings of one of its containers: those of the service, and its own in their place.
    pub fn settings(&self, of: &Settings) -> Settings {
        let mut own = of.clone();
        own.models = of.models_of(self).cloned().collect();
        own.sidecars = Vec::new();
        own.proxy = Routing::default();
        own.port = self.port;
        own.replicas = self.replicas;
        own.command.clone_from(&self.command);
        own.env.clone_from(&self.env);
        own.secrets.clone_from(&self.secrets);
        own.resources.clone_from(&self.resources);
        own.container.clone_from(&self.container);
        own.readiness.clone_from(&self.readiness);
        own.probes.clone_from(&self.probes);
        own.timeouts.stop = self.stop;
        own
    }
}

impl Settings {
    /// The models that a sidecar has.
    pub fn models_of(&self, sidecar: &Sidecar) -> impl Iterator<Item = &crate::Model> {
        self.models.iter().filter(|model| sidecar.models.contains(&model.name))
    }

    /// The models that the replicas of the service have: those that no sidecar has.
    pub fn own_models(&self) -> impl Iterator<Item = &crate::Model> {
        let is_a_sidecars =
            |model: &crate::Model| self.sidecars.iter().any(|sidecar| sidecar.models.contains(&model.name));
        self.models.iter().filter(move |model| !is_a_sidecars(model))
    }
}

/// What is the same of all containers of a sidecar that are alike: 8 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(String);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
