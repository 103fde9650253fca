//! The replicas that a plan wants on a host, and what they are called.

use std::borrow::Cow;

use cutover_core::{DeploymentId, HostName, Plan, Role, ServiceKey, Settings};

use crate::Container;

/// The role that gets traffic, as labels have it.
pub const WEB: &str = "web";

/// A replica that a plan wants on a host.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The name of its container. Whoever makes it meets the one that is there already.
    pub name: String,
    /// Its number among those of its role on the host, from 1.
    pub number: u32,
    /// Its role; none: it gets traffic.
    pub role: Option<&'a Role>,
}

impl<'a> Member<'a> {
    /// Those that get traffic, in their order.
    pub fn web(plan: &'a Plan) -> Vec<Self> {
        let name = |number| replica_name(&plan.key, plan.booted_by(), number);
        (1..=plan.release.settings.replicas)
            .map(|number| Self { name: name(number), number, role: None })
            .collect()
    }

    /// Those of the other roles on a host.
    pub fn jobs(plan: &'a Plan, host: &HostName) -> Vec<Self> {
        let of_role = |role: &'a Role| {
            let ServiceKey { service, destination } = &plan.key;
            let name = format!("{service}-{destination}-{}-{}", plan.booted_by().short(), role.name);
            (1..=role.replicas).map(move |number| {
                let name = format!("{name}-{number}");
                Self { name, number, role: Some(role) }
            })
        };
        plan.release.settings.roles_on(host).flat_map(of_role).collect()
    }

    /// Those of the other roles that start before the old ones end. Where a deployment goes back to warm replicas, none do: it
    /// boots nothing.
    pub fn early_jobs(plan: &'a Plan, host: &HostName) -> Vec<Self> {
        let mut jobs = Self::jobs(plan, host);
        jobs.retain(|job| plan.warm.is_none() && job.role.is_some_and(|role| role.overlap));
        jobs
    }

    /// The name of its role, as its label has it.
    pub fn role_name(&self) -> &'a str {
        self.role.map_or(WEB, |role| role.name.as_str())
    }

    /// The settings of its role.
    pub fn settings(&self, plan: &'a Plan) -> Cow<'a, Settings> {
        let settings = &plan.release.settings;
        self.role.map_or(Cow::Borrowed(settings), |role| Cow::Owned(settings.as_role(role)))
    }
}

impl Container {
    /// Whether it gets traffic.
    pub fn is_web(&self) -> bool {
        self.labels.role == WEB
    }
}

/// The name of the container of a replica that gets traffic: `<service>-<destination>-<deployment>-<number>`. Those of the
/// other roles have the role before the number.
pub fn replica_name(key: &ServiceKey, deployment: &DeploymentId, number: u32) -> String {
    format!("{}-{}-{}-{number}", key.service, key.destination, deployment.short())
}
