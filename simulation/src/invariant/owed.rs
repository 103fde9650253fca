//! What is owed after the end of a deployment, and what is kept warm until then.

use std::time::Duration;

use cutover_core::{DeploymentId, Entry, KeptRelease, Obligation, Plan, Service, Stage, Task, Timestamp};

use super::{Violation, require};
use crate::assignment::{Assignment, is_owed};
use crate::host::Host;
use crate::watch::Watch;

/// How far two clocks are from each other at most, one of them being the server's.
const CLOCKS: Duration = Duration::from_secs(121);

/// The kept releases whose replicas are warm.
pub(crate) fn warm(service: &Service) -> impl Iterator<Item = &KeptRelease> {
    service.kept.iter().filter(|kept| service.warm_until(kept).is_some())
}

/// The deployments whose replicas are to be stopped on a host at their time.
pub(super) fn cooling<'a>(service: &'a Service, host: &Host) -> impl Iterator<Item = &'a DeploymentId> {
    let cools = |owed: &Obligation| owed.task.stage == Stage::Cool && owed.host() == Some(&host.name);
    let is_put_off = service.obligations.iter().any(cools);
    let kept = service.kept.iter().filter(move |kept| is_put_off && kept.warm_until.is_some());
    kept.map(KeptRelease::booted_by)
}

/// What is owed is begun only while no deployment runs: no claim of it that comes later is in force.
pub(crate) fn nothing_owed_is_begun_while_a_deployment_runs(
    before: &Service,
    deployment: &DeploymentId,
    task: &Task,
) -> Result<(), Violation> {
    let holds = !is_owed(before, deployment, task) || before.running().is_none();
    require(holds, "nothing owed is begun while a deployment runs", || {
        format!("{task} of {} is", deployment.short())
    })
}

/// Nobody stops what is warm long before its time, by whichever clock.
pub(crate) fn nothing_cools_before_its_time(
    before: &Service,
    entry: &Entry,
    deployment: &DeploymentId,
    task: &Task,
) -> Result<(), Violation> {
    let is_it = |owed: &&Obligation| owed.deployment == *deployment && owed.task == *task;
    let owed = before.obligations.iter().filter(|owed| owed.task.stage == Stage::Cool).find(is_it);
    let holds = owed.is_none_or(|owed| entry.at.after(CLOCKS) >= owed.due);
    require(holds, "nothing cools before its time", || format!("{task} of {} does", deployment.short()))
}

/// A rollback that is accepted as warm finds its replicas on every host.
pub(crate) fn a_warm_rollback_finds_its_replicas(plan: &Plan, hosts: &[Host]) -> Result<(), Violation> {
    let Some(warm) = &plan.warm else { return Ok(()) };
    let there = |host: &Host| {
        warm.hosts.get(&host.name).is_some_and(|replicas| replicas.iter().all(|replica| host.runs(replica)))
    };
    require(hosts.iter().all(there), "a warm rollback finds its replicas", || {
        format!("{} relies on some that are gone", plan.deployment.short())
    })
}

/// What is warm runs, on every host.
pub(crate) fn what_is_warm_runs(service: &Service, hosts: &[Host]) -> Result<(), Violation> {
    let sets = warm(service).filter_map(|kept| kept.replicas.as_ref());
    let mut replicas = sets.flat_map(|set| &set.hosts).flat_map(|(name, replicas)| {
        let host = hosts.iter().find(|host| host.name == *name);
        replicas.iter().map(move |replica| (replica, host))
    });
    let gone = replicas.find(|(replica, host)| !host.is_some_and(|host| host.runs(replica)));
    require(gone.is_none(), "what is warm runs", || {
        format!("{:?} is gone", gone.map(|(replica, _)| &replica.name))
    })
}

/// No deployment is refused by a proxy because of something that was owed before: claims of that are older than the decision
/// that has accepted the deployment.
pub(crate) fn what_is_owed_fences_off_no_later_deployment(
    service: &Service,
    watch: &Watch,
    refused: &Assignment,
    highest: u64,
) -> Result<(), Violation> {
    let holds = !watch.is_owed(highest) || refused.is_owed() || !refused.is_in_force(service);
    require(holds, "what is owed fences off no later deployment", || {
        format!("{} of {} is, by claim {highest}", refused.task, refused.deployment.id().short())
    })
}

/// Once hosts are back and workers live, all that is owed is done, but what is put off until later than a time.
pub(crate) fn all_that_is_owed_is_done(service: &Service, later: Timestamp) -> Result<(), Violation> {
    let open: Vec<String> = left(service, later)
        .map(|owed| format!("{} of {} {}", owed.task, owed.deployment.short(), owed.state.status.as_str()))
        .collect();
    require(open.is_empty(), "all that is owed is done", || format!("these are owed: {}", open.join(", ")))
}

/// What is owed, but for what is put off until later than a time.
pub(crate) fn left(service: &Service, later: Timestamp) -> impl Iterator<Item = &Obligation> {
    service
        .obligations
        .iter()
        .filter(move |owed| owed.is_debt() || owed.state.was_claimed() || owed.due <= later)
        .filter(move |owed| owed.task.stage != Stage::Contract || is_contract_due(service, later))
}

/// Whether any contract waits for nothing but its time, and for that no longer than to a time.
fn is_contract_due(service: &Service, later: Timestamp) -> bool {
    service.contracts(later).iter().any(|contract| contract.waits.is_empty())
}

/// A host that has come back serves what is live, without another deployment.
pub(crate) fn a_host_that_came_back_serves_what_is_live(
    service: &Service,
    host: &Host,
) -> Result<(), Violation> {
    let (live, serving) = (service.live().map(|live| &live.deployment), host.proxy.serving());
    require(serving == live || host.forgiven, "a host that came back serves what is live", || {
        format!("{} serves {serving:?}, and {live:?} is live", host.name)
    })
}

/// Once nothing is owed any more, nothing is left behind: what runs is live, or warm. But for what a worker has started that
/// the journal knew to be gone: Docker refuses nobody, and the next boot removes it.
pub(crate) fn nothing_is_left_behind(service: &Service, host: &Host) -> Result<(), Violation> {
    let stay: Vec<_> =
        service.live().map(KeptRelease::booted_by).into_iter().chain(cooling(service, host)).collect();
    let mut strays = host.containers.iter().filter(|container| !stay.contains(&&container.deployment));
    let stray = strays.find(|container| !container.late);
    require(stray.is_none() || host.forgiven, "nothing is left behind", || {
        format!("{:?} is on {}", stray.map(|stray| &stray.replica.name), host.name)
    })
}
