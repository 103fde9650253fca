//! Roles beside the one that gets traffic: the same image with another command.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{HostName, Reference, Resources, RoleName, Settings, Span};

/// A role that gets no traffic, such as one that works a queue off. What it doesn't say is as for the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name; not `web`, which is the one that gets traffic.
    pub name: RoleName,
    /// What its replicas run.
    pub command: Vec<String>,
    /// Replicas per host.
    pub replicas: u32,
    /// The hosts of the destination that it runs on; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostName>,
    /// Environment in the clear, over the service's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment by reference, over the service's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Reference>,
    /// Variables of the service's environment that it hasn't.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<String>,
    /// Limits of one replica, over the service's.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Between the stop signal and the kill of a replica; none: the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Span>,
    /// Whether the new replicas start while the old ones still run. Otherwise they do once those have ended, and nobody
    /// works in between.
    pub overlap: bool,
    /// How long a new replica must run to be taken for a good one.
    pub steady: Span,
}

impl Settings {
    /// The roles that run on a host beside the one that gets traffic.
    pub fn roles_on(&self, host: &HostName) -> impl Iterator<Item = &Role> {
        self.roles.iter().filter(move |role| role.hosts.is_empty() || role.hosts.contains(host))
    }

    /// The settings of a replica of a role: these, and the role's over them.
    pub fn as_role(&self, role: &Role) -> Self {
        let mut own = self.clone();
        for name in role.without.iter().chain(role.env.keys()).chain(role.secrets.keys()) {
            own.env.remove(name);
            own.secrets.remove(name);
        }
        own.env.extend(role.env.clone());
        own.secrets.extend(role.secrets.clone());
        own.command.clone_from(&role.command);
        own.replicas = role.replicas;
        own.resources = role.resources.clone().over(own.resources);
        own.timeouts.stop = role.stop.unwrap_or(own.timeouts.stop);
        own
    }
}
