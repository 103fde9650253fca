//! Traffic: what hosts serve.

use cutover_core::{Outcome, Service, Stage, Task};

use super::owed::cooling;
use super::{Violation, require};
use crate::assignment::Assignment;
use crate::host::Host;

/// Nothing switches for a deployment that has ended, that is in a later round, or that was restored on this host: the
/// fence is up. Only a host that the journal names as not restored may still do so.
pub(crate) fn a_stale_switch_takes_no_effect(
    service: &Service,
    host: &Host,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let wanted = service.running().is_some_and(|running| {
        let restore = Task { stage: Stage::Restore, host: Some(host.name.clone()) };
        let restore = running.state(&restore);
        running.id() == assignment.deployment.id()
            && running.round_began < assignment.claim
            && !restore.is_finished()
    });
    let holds = wanted || is_named(service, host);
    require(holds, "a stale switch takes no effect", || {
        format!("{} has switched to {}", host.name, assignment.deployment.id().short())
    })
}

/// No host switches before every host has passed its probe.
pub(crate) fn no_host_switches_before_all_are_ready(
    service: &Service,
    host: &Host,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let Some(current) = service.current.as_ref().filter(|current| current.id() == assignment.deployment.id())
    else {
        return Ok(());
    };
    let mut probes = current.plan.tasks_of(Stage::Probe);
    let ready = probes.all(|probe| current.state(&probe).is_finished());
    let holds = ready || is_named(service, host);
    require(holds, "no host switches before all are ready", || format!("{} has switched", host.name))
}

/// What a switch that is in force can be taken back to is the version that is live, and never one that was to be taken
/// back itself.
pub(crate) fn the_way_back_leads_to_what_is_live(
    service: &Service,
    host: &Host,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let live = service.live().map(|live| &live.deployment);
    let back = host.proxy.previous.as_ref().map(|previous| &previous.deployment);
    let running = service.running().filter(|running| running.id() == assignment.deployment.id());
    let in_force =
        running.is_some_and(|running| running.state(&assignment.task).in_force == assignment.claim);
    let holds = back == live || !in_force || host.forgiven;
    require(holds, "the way back leads to what is live", || {
        format!("{} would go back to {back:?}, and {live:?} is live", host.name)
    })
}

/// What the proxy sends traffic to runs.
pub(crate) fn traffic_goes_to_what_runs(host: &Host) -> Result<(), Violation> {
    let targets = host.proxy.active.iter().chain(&host.proxy.canary).flat_map(|set| &set.targets);
    let gone: Vec<&str> =
        targets.filter(|target| !host.runs(target)).map(|target| target.name.as_str()).collect();
    require(gone.is_empty(), "traffic goes to what runs", || format!("{gone:?} are gone from {}", host.name))
}

/// While nothing runs, every host serves the release that is live, wholly old or wholly new; where not, the journal names
/// the host.
pub(crate) fn traffic_is_whole(service: &Service, host: &Host) -> Result<(), Violation> {
    let (live, serving) = (service.live().map(|live| &live.deployment), host.proxy.serving());
    let is_whole = serving == live && host.proxy.canary.is_none();
    let holds = is_whole || service.running().is_some() || is_named(service, host);
    require(holds, "traffic is whole", || format!("{} serves {serving:?}, and {live:?} is live", host.name))
}

/// Whether the journal says of a host that a deployment could not be taken back on it, or somebody has told it to forget so.
fn is_named(service: &Service, host: &Host) -> bool {
    host.forgiven || service.debts_of(&host.name).any(|debt| debt.task.stage == Stage::Restore)
}

/// A good release goes live on every host, whatever happened before it, and nothing else is left running but what is warm.
pub(crate) fn a_good_release_goes_live(service: &Service, hosts: &[Host]) -> Result<(), Violation> {
    let Some(last) = &service.current else { return Ok(()) };
    let whole = hosts.iter().all(|host| {
        host.proxy.serving() == Some(last.id())
            && host.containers.iter().all(|container| {
                let mut stay = std::iter::once(last.id()).chain(cooling(service, host));
                stay.any(|id| *id == container.deployment)
            })
    });
    let live = last.outcome() == Some(Outcome::Live);
    require(live && whole, "a good release goes live", || {
        format!("{:?} ended {:?}, {:?}", last.id(), last.outcome(), last.cause())
    })
}
