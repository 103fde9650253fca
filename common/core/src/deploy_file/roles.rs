//! The section `roles`: what runs of the same image beside the service itself, without traffic.

use std::collections::BTreeMap;

use super::check::{command, env};
use super::error::{Place, Problem, Problems};
use super::node::Node;
use super::raw::{Host, Variable, split};
use super::resources::resources;
use super::section::{Section, scalar};
use super::text::variable_name;
use super::units::{flag, span, whole};
use crate::{HostName, Resources, Role, RoleName, Span};

/// How long a new replica must run unless the file says.
const STEADY: Span = Span(std::time::Duration::from_secs(5));

/// A role as it stands in the file.
#[derive(Clone)]
pub(super) struct RawRole {
    place: Place,
    command: Vec<String>,
    replicas: Option<u32>,
    hosts: Option<Vec<(Place, HostName)>>,
    env: BTreeMap<String, Variable>,
    without: Option<Vec<(Place, String)>>,
    resources: Resources,
    stop: Option<Span>,
    overlap: Option<bool>,
    steady: Option<Span>,
}

/// Roles by name.
pub(super) type Roles = BTreeMap<RoleName, RawRole>;

/// Reads the section.
pub(super) fn roles(section: &Section<'_>, problems: &mut Problems) -> Roles {
    section.by_name(role, problems)
}

fn role(mut section: Section<'_>, place: Place, problems: &mut Problems) -> RawRole {
    let role = RawRole {
        place,
        command: command(&mut section, problems),
        replicas: section.value("replicas", whole(1..=1000), problems),
        hosts: section.list("hosts", problems).map(|items| {
            let host = |(path, item): (String, &Node)| {
                Some((item.place, scalar(&path, item, str::parse, problems)?))
            };
            items.into_iter().filter_map(host).collect()
        }),
        env: section.section("env", problems).map(|section| env(section, problems)).unwrap_or_default(),
        without: section.list("without", problems).map(|items| {
            let name = |(path, item): (String, &Node)| {
                Some((item.place, scalar(&path, item, variable_name, problems)?))
            };
            items.into_iter().filter_map(name).collect()
        }),
        resources: section
            .section("resources", problems)
            .map(|section| resources(section, problems))
            .unwrap_or_default(),
        stop: section.value("stop_timeout", span, problems),
        overlap: section.value("overlap", flag, problems),
        steady: section.value("steady", span, problems),
    };
    section.done(problems);
    role
}

/// Those of a destination over those of the file, key by key.
pub(super) fn over(own: Roles, under: Roles) -> Roles {
    let mut all = under;
    for (name, role) in own {
        let laid = match all.remove(&name) {
            Some(under) => role.over(under),
            None => role,
        };
        all.insert(name, laid);
    }
    all
}

impl RawRole {
    fn over(self, under: Self) -> Self {
        let mut env = under.env;
        env.extend(self.env);
        Self {
            place: self.place,
            command: if self.command.is_empty() { under.command } else { self.command },
            replicas: self.replicas.or(under.replicas),
            hosts: self.hosts.or(under.hosts),
            env,
            without: self.without.or(under.without),
            resources: self.resources.over(under.resources),
            stop: self.stop.or(under.stop),
            overlap: self.overlap.or(under.overlap),
            steady: self.steady.or(under.steady),
        }
    }
}

/// What a destination with these hosts makes of them, where the service `has` some variables.
pub(super) fn resolved(
    roles: Roles,
    hosts: &[Host],
    has: impl Fn(&str) -> bool,
    destination: &str,
    problems: &mut Problems,
) -> Vec<Role> {
    let mut all = Vec::new();
    for (name, role) in roles {
        let path = format!("roles.{name}");
        if role.command.is_empty() {
            let message = format!("no command is given for destination '{destination}'");
            let missing = Problem::new(&path, role.place, message);
            problems
                .add(missing.hint("a role is the same image with another command: `command: [bin/jobs]`"));
        }
        for (place, host) in role.hosts.iter().flatten() {
            if !hosts.iter().any(|known| known.name == *host) {
                let message = format!("{host} is not a host of destination '{destination}'");
                let unknown = Problem::new(&format!("{path}.hosts"), *place, message);
                problems
                    .add(unknown.hint("a role runs on hosts of its destination, where the service runs too"));
            }
        }
        for (place, name) in role.without.iter().flatten() {
            let message = if role.env.contains_key(name) {
                format!("the role has '{name}' of its own")
            } else if !has(name) {
                format!("the service has no variable '{name}' at destination '{destination}'")
            } else {
                continue;
            };
            let wrong = Problem::new(&format!("{path}.without"), *place, message);
            problems.add(wrong.hint("it names variables of the service that the role is not to have"));
        }
        let (env, secrets) = split(role.env);
        all.push(Role {
            name,
            command: role.command,
            replicas: role.replicas.unwrap_or(1),
            hosts: role.hosts.into_iter().flatten().map(|(_, host)| host).collect(),
            env,
            secrets,
            without: role.without.into_iter().flatten().map(|(_, name)| name).collect(),
            resources: role.resources,
            stop: role.stop,
            overlap: role.overlap.unwrap_or(true),
            steady: role.steady.unwrap_or(STEADY),
        });
    }
    all
}
