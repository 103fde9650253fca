//! All secrets that a release needs.

use crate::{
    CertificateSource, ImageSource, Login, Program, Recipe, Reference, RegistryLogin, Release, Settings,
    Source, SshKeys, Target, Tls,
};

/// A reference of a deploy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededSecret<'a> {
    /// The key of the deploy file.
    pub key: String,
    /// Where its value is.
    pub reference: &'a Reference,
    /// Who reads it.
    pub reader: Program,
}

impl Settings {
    /// What its replicas and its migrations need, and those who move traffic.
    pub fn needed_secrets(&self) -> Vec<NeededSecret<'_>> {
        let mut needed = Vec::new();
        let mut add = |reader, key: String, reference| needed.push(NeededSecret { key, reference, reader });
        for (name, reference) in &self.secrets {
            add(Program::Shipper, format!("env.secret.{name}"), reference);
            if self.rails.is_some() {
                add(Program::Migrator, format!("env.secret.{name}"), reference);
            }
        }
        for role in &self.roles {
            for (name, reference) in &role.secrets {
                add(Program::Shipper, format!("roles.{}.env.secret.{name}", role.name), reference);
            }
        }
        for sidecar in &self.sidecars {
            for (name, reference) in &sidecar.secrets {
                add(Program::Shipper, format!("sidecars.{}.env.secret.{name}", sidecar.name), reference);
            }
        }
        if let Some(repository) = &self.repository {
            add(Program::Shipper, PASSWORD.to_owned(), &repository.registry.password);
        }
        if let Some(judges) = &self.canary.judges {
            match judges.metrics.as_ref().and_then(|server| server.login.as_ref()) {
                Some(Login::Basic { password, .. }) => {
                    add(Program::Switcher, "canary.verdict.prometheus.password".to_owned(), password);
                }
                Some(Login::Bearer(token)) => {
                    add(Program::Switcher, "canary.verdict.prometheus.token".to_owned(), token);
                }
                None => {}
            }
            for webhook in &judges.webhooks {
                if let Some(key) = &webhook.key {
                    add(Program::Switcher, format!("canary.verdict.queries.{}.key", webhook.query), key);
                }
            }
        }
        if let Some(Tls { certificate: CertificateSource::Own { certificate, key }, .. }) = &self.proxy.tls {
            add(Program::Switcher, "proxy.tls.certificate".to_owned(), certificate);
            add(Program::Switcher, "proxy.tls.key".to_owned(), key);
        }
        if let Some(database) = &self.database {
            add(Program::Migrator, "migrations.database".to_owned(), database);
        }
        if let Some(rehearsal) = &self.rehearsal {
            add(Program::Migrator, "migrations.rehearse".to_owned(), &rehearsal.database);
        }
        needed
    }
}

impl Target {
    /// All that a deployment of it may need.
    pub fn needed_secrets(&self) -> Vec<NeededSecret<'_>> {
        let mut needed = [self.settings.needed_secrets(), self.image.needed_secrets()].concat();
        for sidecar in &self.sidecars {
            needed.extend(sidecar.source.needed_secrets());
            needed.extend(sidecar.secrets.iter().map(|(name, reference)| NeededSecret {
                key: format!("sidecars.{}.env.secret.{name}", sidecar.name),
                reference,
                reader: Program::Shipper,
            }));
        }
        needed
    }
}

impl Release {
    /// What its images are made with.
    pub fn built_with(&self) -> Vec<NeededSecret<'_>> {
        let sidecars = self.settings.sidecars.iter().flat_map(|sidecar| sidecar.source.needed_secrets());
        self.source.needed_secrets().into_iter().chain(sidecars).collect()
    }

    /// Whether all of its images stay what they are.
    pub fn is_pinned(&self) -> bool {
        self.source.is_pinned() && self.settings.sidecars.iter().all(|sidecar| sidecar.source.is_pinned())
    }
}

impl Source {
    /// What its image is made with.
    pub fn needed_secrets(&self) -> Vec<NeededSecret<'_>> {
        match self {
            Self::Context(context) => of_recipe(&context.recipe).collect(),
            Self::Git(git) => of_git(git.key.as_ref()).chain(of_recipe(&git.recipe)).collect(),
            Self::Private(private) => vec![of_login(&private.registry)],
            Self::Image(_) => Vec::new(),
        }
    }
}

impl ImageSource {
    /// What it is made with.
    pub fn needed_secrets(&self) -> Vec<NeededSecret<'_>> {
        match self {
            Self::Builder { git, recipe, .. } => {
                of_git(git.as_ref().and_then(|git| git.key.as_ref())).chain(of_recipe(recipe)).collect()
            }
            Self::Private(private) => vec![of_login(&private.registry)],
            Self::Existing(_) => Vec::new(),
        }
    }
}

/// The builder enters the registry with it, or the shipper, or both.
const PASSWORD: &str = "registry.password";

fn of_git(key: Option<&Reference>) -> impl Iterator<Item = NeededSecret<'_>> {
    let reader = Program::Builder;
    key.into_iter().map(move |reference| NeededSecret {
        key: "builder.git.key".to_owned(),
        reference,
        reader,
    })
}

fn of_recipe(recipe: &Recipe) -> impl Iterator<Item = NeededSecret<'_>> {
    let reader = Program::Builder;
    let secrets = recipe.secrets.iter().map(|(id, reference)| ("secrets", id, reference));
    let keys = recipe.ssh.iter().filter_map(|(id, keys)| match keys {
        SshKeys::Key(reference) => Some(("ssh", id, reference)),
        SshKeys::Agent => None,
    });
    let own = secrets.chain(keys).map(move |(section, id, reference)| NeededSecret {
        key: format!("builder.{section}.{id}"),
        reference,
        reader,
    });
    own.chain(recipe.registry.as_ref().map(of_login))
}

fn of_login(login: &RegistryLogin) -> NeededSecret<'_> {
    NeededSecret { key: PASSWORD.to_owned(), reference: &login.password, reader: Program::Builder }
}
