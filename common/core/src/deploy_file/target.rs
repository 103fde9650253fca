//! What is deployed, and where: a destination laid over the file, with the defaults filled in.

use super::error::Problems;
use super::models::WantedModel;
use super::raw::{self, Raw, split};
use super::{accessories, models, roles, routing, sidecars};
use crate::{
    Accessory, DeployWindow, Hooks, HostSpec, PrivateImage, Recipe, Reference, RegistryLogin, ServiceKey,
    Settings, Sidecar, Soak, Span, Timeouts,
};

/// Where a service runs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service, and the destination.
    pub key: ServiceKey,
    /// The hosts, in the order of the file; at least one, none twice.
    pub hosts: Vec<HostSpec>,
    /// Where the image comes from.
    pub image: ImageSource,
    /// How a release runs there.
    pub settings: Settings,
    /// Where the migrations are; none: it has none.
    pub migrations: Option<MigrationSource>,
    /// The models that a release of it has. Their versions are not known yet: `settings` has none of them.
    pub models: Vec<WantedModel>,
    /// The sidecars that a release of it has. Their sources are not known yet: `settings` has none of them.
    pub sidecars: Vec<Sidecar<ImageSource>>,
    /// What it needs beside it. No release has any of them.
    pub accessories: Vec<Accessory>,
    /// When deployments of it may begin; none: always.
    pub windows: Vec<DeployWindow>,
    /// What the person who deploys has run before and after.
    pub hooks: Hooks,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// It is built.
    Builder {
        /// The folder of the build context: relative to the deploy file, or in the repository.
        context: String,
        /// The repository that the context is a commit of; none: the files as they are in the folder.
        git: Option<GitRepository>,
        /// What is made of it.
        recipe: Box<Recipe>,
    },
    /// It exists.
    Existing(String),
    /// It exists, in a registry that asks for a password.
    Private(PrivateImage),
}

/// Where migrations are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationSource {
    /// Files of SQL and operations, in this folder, relative to the deploy file. With it, `settings.database` is there too.
    Folder(String),
    /// A Rails application, in this folder of the build context; of an image that exists, relative to the deploy file. With
    /// it, `settings.rails` is there too.
    Rails(String),
}

/// A Git repository to build from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRepository {
    /// Its URL; none: the one that the deploy file is in.
    pub url: Option<String>,
    /// The branch, the tag or the commit; `HEAD` where none is named.
    pub reference: String,
    /// The private key that it is reached with over SSH.
    pub key: Option<Reference>,
}

impl Target {
    /// Whether an image of it is built, its own or that of a sidecar.
    pub fn is_built(&self) -> bool {
        let sidecars = self.sidecars.iter().map(|sidecar| &sidecar.source);
        sidecars.chain([&self.image]).any(|source| source.recipe().is_some())
    }
}

impl ImageSource {
    /// How the registry is entered that it needs.
    pub(super) fn registry(&self) -> Option<&RegistryLogin> {
        match self {
            Self::Builder { recipe, .. } => recipe.registry.as_ref(),
            Self::Private(private) => Some(&private.registry),
            Self::Existing(_) => None,
        }
    }

    /// The same, by that registry where it names none itself and is there.
    pub(super) fn or_with(self, registry: Option<&RegistryLogin>) -> Self {
        match (self, registry) {
            (Self::Existing(image), Some(registry)) if registry.has(&image) => {
                Self::Private(PrivateImage { image, registry: registry.clone() })
            }
            (Self::Builder { context, git, mut recipe }, Some(registry)) => {
                recipe.registry.get_or_insert_with(|| registry.clone());
                Self::Builder { context, git, recipe }
            }
            (own, _) => own,
        }
    }

    /// What BuildKit is asked to do; none where there is nothing to build.
    pub fn recipe(&self) -> Option<&Recipe> {
        match self {
            Self::Builder { recipe, .. } => Some(recipe),
            Self::Existing(_) | Self::Private(_) => None,
        }
    }
}

/// The targets that the destinations make of the file.
pub(super) fn all(raw: &Raw, problems: &mut Problems) -> Vec<Target> {
    raw.destinations.iter().filter_map(|there| of(raw, there, problems)).collect()
}

/// The target that a destination makes of the file. None where something is missing; the problems say what.
fn of(raw: &Raw, there: &raw::Destination, problems: &mut Problems) -> Option<Target> {
    let layer = there.layer.clone().over(raw.base.clone());
    let migrations = layer.migrations;
    let own = there.layer.migrations.place.map(|_| format!("destinations.{}.migrations", there.name));
    if !migrations.check(own.as_deref(), there.name.as_str(), problems) {
        return None;
    }
    let host = |host: &raw::Host| {
        let ssh = host.ssh.clone().over(layer.ssh.clone());
        HostSpec {
            name: host.name.clone(),
            port: ssh.port.unwrap_or(22),
            user: ssh.user.unwrap_or_else(|| "root".into()),
            host_key: host.key.clone(),
        }
    };
    let (env, secrets) = split(layer.env);
    let has = |name: &str| env.contains_key(name) || secrets.contains_key(name);
    let roles = roles::resolved(layer.roles, &there.hosts, has, there.name.as_str(), problems);
    let usual = Timeouts::default();
    let port = raw.port.unwrap_or(80);
    let proxy = routing::resolved(layer.proxy, &there.layer.proxy, port, there.name.as_str(), problems);
    let models = models::resolved(layer.models, &raw.container, there.name.as_str(), problems);
    let rails = migrations.rails.resolved();
    let (root, rails) = rails.unzip();
    let settings = Settings {
        port,
        replicas: layer.replicas.unwrap_or(1),
        command: raw.command.clone(),
        env,
        secrets,
        resources: layer.resources,
        container: raw.container.clone(),
        readiness: raw.readiness.clone(),
        probes: raw.probes.clone(),
        proxy,
        canary: layer.canary.resolved(problems),
        soak: Soak {
            time: layer.soak.time.unwrap_or(Span::seconds(10)),
            max_errors_per_mille: layer.soak.max_errors_per_mille.unwrap_or(50),
            min_requests: layer.soak.min_requests.unwrap_or(20),
        },
        timeouts: Timeouts {
            ready: layer.timeouts.ready.unwrap_or(usual.ready),
            drain: layer.timeouts.drain.unwrap_or(usual.drain),
            drain_streams: layer.timeouts.drain_streams,
            stop: layer.timeouts.stop.unwrap_or(usual.stop),
            build: layer.timeouts.build.unwrap_or(usual.build),
            ship: layer.timeouts.ship.unwrap_or(usual.ship),
            migrate: layer.timeouts.migrate.unwrap_or(usual.migrate),
            backfill: layer.timeouts.backfill.unwrap_or(usual.backfill),
        },
        repository: raw.repository.clone(),
        contract: migrations.contract(),
        locks: migrations.locks.resolved(),
        backfill: migrations.backfill.resolved(),
        rehearsal: migrations.rehearsal.resolved(migrations.via.unwrap_or_default()),
        via: migrations.via.unwrap_or_default(),
        engine: migrations.engine.unwrap_or_default(),
        database: migrations.database,
        rails,
        roles,
        models: Vec::new(),
        sidecars: Vec::new(),
        warm: layer.warm.unwrap_or_default(),
        retain: raw.retain.unwrap_or(5),
    };
    let registry = raw.image.registry().or_else(|| raw.repository.as_ref().map(|through| &through.registry));
    let declared =
        sidecars::Declared { models: &models, roles: &settings.roles, policy: &raw.policy, registry };
    let sidecars = sidecars::resolved(layer.sidecars, &declared, there.name.as_str(), problems);
    let declared =
        accessories::Declared { hosts: &there.hosts, roles: &settings.roles, sidecars: &sidecars, registry };
    let accessories = accessories::resolved(layer.accessories, &declared, there.name.as_str(), problems);
    raw.policy.check_at(there.name.as_str(), &settings, problems);
    Some(Target {
        key: ServiceKey { destination: there.name.clone(), service: raw.service.clone() },
        hosts: there.hosts.iter().map(host).collect(),
        image: raw.image.clone(),
        settings,
        migrations: migrations.folder.map(MigrationSource::Folder).or(root.map(MigrationSource::Rails)),
        models,
        sidecars,
        accessories,
        windows: layer.windows.unwrap_or_default(),
        hooks: layer.hooks.resolved(),
    })
}
