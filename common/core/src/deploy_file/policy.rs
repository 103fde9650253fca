//! The section `policy`: what a release must keep to, or it is refused before anything of it runs.

use super::error::{Place, Problem, Problems};
use super::section::Section;
use super::units::flag;
use crate::{Container, Resources, Settings};

/// What is required.
#[derive(Clone, Default)]
pub(super) struct Policy {
    place: Option<Place>,
    pub(super) non_root: bool,
    limits: Vec<Limit>,
}

/// A limit that may be required.
#[derive(Clone, Copy)]
enum Limit {
    Memory,
    Cpus,
    Pids,
}

/// Reads the section.
pub(super) fn policy(mut section: Section<'_>, problems: &mut Problems) -> Policy {
    let place = section.place;
    let non_root = section.value("require_non_root", flag, problems).unwrap_or_default();
    let limits = section.scalars("require_limits", Limit::parse, problems).unwrap_or_default();
    section.done(problems);
    Policy { place, non_root, limits }
}

impl Policy {
    /// Refuses a container, which stands at `key`, that the file itself makes root, or somebody who may be.
    pub(super) fn check(&self, container: &Container, key: &str, problems: &mut Problems) {
        let user = container.user.as_deref();
        if let Some(user) = user.filter(|user| self.non_root && container.may_be_root(user)) {
            let refused = Problem::new(
                "policy.require_non_root",
                self.place,
                format!(
                    "{key}.user is {user}, which is root or may be: only a number other than 0 is known not to"
                ),
            );
            problems.add(
                refused
                    .hint(format!("give it a user of its own, by its number: `{key}: {{user: \"1000\"}}`")),
            );
        }
    }

    /// Refuses what lacks a limit at a destination.
    pub(super) fn check_at(&self, destination: &str, settings: &Settings, problems: &mut Problems) {
        self.check_limits("the service", "resources", &settings.resources, destination, problems);
        for role in &settings.roles {
            let (whose, key) = (format!("role {}", role.name), format!("roles.{}.resources", role.name));
            self.check_limits(&whose, &key, &settings.as_role(role).resources, destination, problems);
        }
    }

    /// Refuses one part that lacks a limit, whose resources stand at `key`.
    pub(super) fn check_limits(
        &self,
        whose: &str,
        key: &str,
        resources: &Resources,
        destination: &str,
        problems: &mut Problems,
    ) {
        for limit in self.limits.iter().filter(|limit| !limit.is_in(resources)) {
            let (name, example) = limit.names();
            let message = format!("{whose} has no limit of {name} at destination '{destination}'");
            let missing = Problem::new("policy.require_limits", self.place, message);
            problems.add(missing.hint(format!("say how much it may take: `{key}: {{{name}: {example}}}`")));
        }
    }
}

impl Limit {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "cpus" => Ok(Self::Cpus),
            "pids" => Ok(Self::Pids),
            _ => Err(format!("'{text}' is no limit that can be required: memory, cpus, pids")),
        }
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => ("memory", "512m"),
            Self::Cpus => ("cpus", "1"),
            Self::Pids => ("pids", "256"),
        }
    }

    const fn is_in(self, resources: &Resources) -> bool {
        match self {
            Self::Memory => resources.memory.is_some(),
            Self::Cpus => resources.milli_cpus.is_some(),
            Self::Pids => resources.pids.is_some(),
        }
    }
}
