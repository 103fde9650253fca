//! The section `policy`: what a release must keep to, or it is refused before anything of it runs.

use super::error::{Place, Problem, Problems};
use super::section::{Section, scalar};
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
    let items = section.list("require_limits", problems).unwrap_or_default();
    let limits =
        items.into_iter().filter_map(|(path, item)| scalar(&path, item, Limit::parse, problems)).collect();
    section.done(problems);
    Policy { place, non_root, limits }
}

impl Policy {
    /// Refuses a container that the file itself makes root, or somebody who may be.
    pub(super) fn check(&self, container: &Container, problems: &mut Problems) {
        let user = container.user.as_deref();
        if let Some(user) = user.filter(|user| self.non_root && container.may_be_root(user)) {
            let refused = Problem::new(
                "policy.require_non_root",
                self.place,
                format!(
                    "container.user is {user}, which is root or may be: only a number other than 0 is known not to"
                ),
            );
            problems
                .add(refused.hint("give it a user of its own, by its number: `container: {user: \"1000\"}`"));
        }
    }

    /// Refuses what lacks a limit at a destination.
    pub(super) fn check_at(&self, destination: &str, settings: &Settings, problems: &mut Problems) {
        let roles = settings.roles.iter().map(|role| (Some(&role.name), settings.as_role(role).resources));
        for (role, resources) in std::iter::once((None, settings.resources.clone())).chain(roles) {
            for limit in self.limits.iter().filter(|limit| !limit.is_in(&resources)) {
                let (name, example) = limit.names();
                let (whose, where_to) = match role {
                    Some(role) => (format!("role {role}"), format!("roles.{role}.resources")),
                    None => ("the service".to_owned(), "resources".to_owned()),
                };
                let message = format!("{whose} has no limit of {name} at destination '{destination}'");
                let missing = Problem::new("policy.require_limits", self.place, message);
                problems.add(
                    missing.hint(format!("say how much it may take: `{where_to}: {{{name}: {example}}}`")),
                );
            }
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
