//! Hosts as workers find and leave them: which containers run there, and where the proxy sends the traffic.
#![allow(unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{DeploymentId, HostName, Service, Stage, Task};

/// All hosts.
#[derive(Clone, Default)]
pub struct Hosts(BTreeMap<HostName, Host>);

#[derive(Clone, Default)]
struct Host {
    /// Those whose containers run, by the deployment that their labels name.
    containers: BTreeSet<DeploymentId>,
    active: Option<Set>,
    previous: Option<Set>,
    /// The highest claim that the proxy has seen.
    fence: u64,
    /// What was owed here was forgiven: nobody brings it in order until a deployment goes all the way.
    is_forgiven: bool,
}

/// What the proxy sends traffic to.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Set {
    deployment: DeploymentId,
    booted_by: DeploymentId,
}

/// How the work of a claim went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    Well,
    /// A later claim has been there.
    Stale,
    /// What it needs isn't there.
    Refused,
}

impl Hosts {
    /// Does what a worker does that has claimed the task, and says how it went.
    pub fn perform(&mut self, service: &Service, id: &DeploymentId, task: &Task, claim: u64) -> Went {
        let Some(name) = &task.host else { return Went::Well };
        let deployment = service.assigned(id, task).unwrap();
        let booted_by = deployment.plan.booted_by();
        let host = self.0.entry(name.clone()).or_default();
        if !matches!(task.stage, Stage::Ship | Stage::Probe) {
            if claim < host.fence {
                return Went::Stale;
            }
            host.fence = claim;
        }
        let is_active = host.active.as_ref().is_some_and(|active| active.deployment == *id);
        let done = match task.stage {
            Stage::Boot => {
                host.restore(id);
                // Sets of the proxy name their replicas, whoever has booted them.
                let named: Vec<_> =
                    host.active.iter().chain(&host.previous).map(|set| &set.booted_by).collect();
                let in_use = service.in_use();
                host.containers.retain(|there| in_use.contains(&there) || named.contains(&there));
                host.containers.insert(id.clone())
            }
            Stage::Probe => host.containers.contains(booted_by),
            Stage::Switch => {
                service.to_take_back_on(name).for_each(|earlier| host.restore(earlier));
                let next = Set { deployment: id.clone(), booted_by: booted_by.clone() };
                let before = host.active.replace(next);
                if before.as_ref().is_none_or(|before| before.deployment != *id) {
                    host.previous = before;
                }
                host.containers.contains(booted_by)
            }
            Stage::Retire | Stage::Cool => {
                if is_active {
                    let spared = match task.stage {
                        Stage::Retire => service.spared(&deployment),
                        _ => Vec::new(),
                    };
                    host.containers.retain(|there| there == booted_by || spared.contains(&there));
                    host.previous = None;
                    host.is_forgiven = false;
                }
                is_active
            }
            Stage::Restore => {
                host.restore(id);
                true
            }
            Stage::Discard => {
                host.restore(id);
                let serves = host.active.as_ref().is_some_and(|active| active.booted_by == *id);
                if !serves {
                    host.containers.remove(id);
                }
                !serves
            }
            _ => true,
        };
        if done { Went::Well } else { Went::Refused }
    }

    pub fn forgive(&mut self, host: &HostName) {
        self.0.entry(host.clone()).or_default().is_forgiven = true;
    }

    pub fn is_forgiven(&self, host: &HostName) -> bool {
        self.0.get(host).is_some_and(|host| host.is_forgiven)
    }

    /// What must be true at any time: traffic goes, and can go back, to what runs; what is warm runs; and while nothing runs,
    /// every host serves what is live, or is known to owe something.
    pub fn check(&self, service: &Service) {
        for (name, host) in self.0.iter().filter(|(_, host)| !host.is_forgiven) {
            for set in host.active.iter().chain(&host.previous) {
                assert!(
                    host.containers.contains(&set.booted_by),
                    "{set:?} on {name} has traffic, and is gone"
                );
            }
        }
        let rollback = service.running().map(|running| running.id() != running.plan.booted_by());
        let warm = service.kept.iter().filter(|kept| service.warm_until(kept).is_some());
        for kept in warm.filter(|_| rollback != Some(false)) {
            for name in kept.replicas.iter().flat_map(|replicas| replicas.hosts.keys()) {
                let host = self.0.get(name).unwrap();
                let there = host.containers.contains(kept.booted_by());
                assert!(there || host.is_forgiven, "{} is not warm on {name}", kept.booted_by());
            }
        }
        if let (None, Some(live)) = (service.running(), service.live()) {
            for name in live.replicas.iter().flat_map(|replicas| replicas.hosts.keys()) {
                let host = self.0.get(name).unwrap();
                let serves = host.active.as_ref().is_some_and(|active| active.deployment == live.deployment);
                let is_known = host.is_forgiven || service.debts_of(name).next().is_some();
                assert!(serves || is_known, "{name} doesn't serve {}", live.deployment);
            }
        }
    }

    /// What is left behind when nothing is owed any more: nothing but what serves.
    pub fn check_paid(&self) {
        for (name, host) in self.0.iter().filter(|(_, host)| !host.is_forgiven) {
            let serving: BTreeSet<_> = host.active.iter().map(|active| active.booted_by.clone()).collect();
            assert_eq!(host.containers, serving, "on {name}");
        }
    }
}

impl Host {
    fn restore(&mut self, id: &DeploymentId) {
        if self.active.as_ref().is_some_and(|active| active.deployment == *id) {
            self.active = self.previous.take();
        }
    }
}
