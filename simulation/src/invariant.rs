//! What must hold, whatever happens: one function for each rule.

use std::fmt;

use cutover_core::{Decision, Deployment, Entry, Event, Fact, Outcome, Service, Stage, Task, Timestamp};

use crate::bus::{Bus, Snapshot};
use crate::chance::Chance;
use crate::host::{Container, Host};
use crate::task_run::Assignment;
use crate::watch::Watch;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

fn require(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

/// A deployment is only accepted, or gone on with, while none runs.
pub(crate) fn one_deployment_at_a_time(before: &Service, after: &Service) -> Result<(), Violation> {
    let next = after.current.as_ref().map(Deployment::id);
    require(before.running().is_none(), "one deployment at a time", || {
        format!("{next:?} began while {:?} ran", before.running().map(Deployment::id))
    })
}

/// Whoever changes anything has claimed the task, and the claim was in force when it was stored.
pub(crate) fn an_effect_has_a_claim(watch: &Watch, assignment: &Assignment) -> Result<(), Violation> {
    require(watch.was_in_force(assignment), "an effect has a claim", || {
        format!("{} is done by claim {}, which is void", assignment.task, assignment.claim)
    })
}

/// A claim is worked on by one slot of one process.
pub(crate) fn a_claim_has_one_holder(
    assignment: &Assignment,
    first: Option<&(String, usize)>,
    second: &(String, usize),
) -> Result<(), Violation> {
    require(first.is_none(), "a claim has one holder", || {
        format!("{first:?} and {second:?} do {} by claim {}", assignment.task, assignment.claim)
    })
}

/// What a worker says whose claim is not in force, or not any more, changes nothing.
pub(crate) fn an_outlived_worker_changes_nothing(
    before: &Service,
    task: &Task,
    claim: u64,
    changed: bool,
) -> Result<(), Violation> {
    let in_force = before.current.as_ref().is_some_and(|current| current.state(task).in_force == claim);
    require(in_force || !changed, "an outlived worker changes nothing", || {
        format!("{task} by claim {claim} did")
    })
}

/// When a deployment ends, no worker has a task of it.
pub(crate) fn nothing_is_in_hand_at_the_end(service: &Service) -> Result<(), Violation> {
    let tasks = service.current.iter().flat_map(Deployment::tasks);
    let open: Vec<String> =
        tasks.filter(|(_, state)| state.is_open()).map(|(task, _)| task.to_string()).collect();
    require(open.is_empty(), "nothing is in hand at the end", || format!("{open:?} are"))
}

/// Nothing switches for a deployment that has ended, that is in a later round, or that was restored on this host: the
/// fence is up. Only a host that the journal names as not restored may still do so.
pub(crate) fn a_stale_switch_takes_no_effect(
    service: &Service,
    host: &Host,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let wanted = service.running().is_some_and(|running| {
        let restore = running.state(&assignment.task.beside(Stage::Restore));
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
    let holds = back == live || !in_force;
    require(holds, "the way back leads to what is live", || {
        format!("{} would go back to {back:?}, and {live:?} is live", host.name)
    })
}

/// What the proxy sends traffic to runs.
pub(crate) fn traffic_goes_to_what_runs(host: &Host) -> Result<(), Violation> {
    let targets = host.proxy.active.iter().flat_map(|active| &active.targets);
    let gone: Vec<&str> =
        targets.filter(|target| !host.runs(target)).map(|target| target.name.as_str()).collect();
    require(gone.is_empty(), "traffic goes to what runs", || format!("{gone:?} are gone from {}", host.name))
}

/// What serves, or has requests in flight, is never removed.
pub(crate) fn what_serves_is_never_removed(
    host: &Host,
    container: &Container,
    now: Timestamp,
) -> Result<(), Violation> {
    let there = host.containers.iter().any(|other| other.id == container.id);
    let needed = there && host.proxy.needs(&container.replica, now);
    require(!needed, "what serves is never removed", || {
        format!("{} on {} is removed", container.replica.name, host.name)
    })
}

/// No worker, however late, can switch to what is removed: the fence is above every claim of such a switch.
pub(crate) fn what_is_removed_is_fenced_off(
    watch: &Watch,
    host: &Host,
    container: &Container,
) -> Result<(), Violation> {
    let there = host.containers.iter().any(|other| other.id == container.id);
    let switch = watch.last_switch(&host.name, &container.deployment);
    let holds = !there || switch == 0 || host.proxy.fence > switch;
    require(holds, "what is removed is fenced off", || {
        format!(
            "{} is removed from {}, and claim {switch} may still switch to it",
            container.replica.name, host.name
        )
    })
}

/// While a deployment runs, only its own tasks remove its replicas.
pub(crate) fn what_others_boot_is_left_alone(
    service: &Service,
    host: &Host,
    container: &Container,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let there = host.containers.iter().any(|other| other.id == container.id);
    let runs = service.running().is_some_and(|running| *running.id() == container.deployment);
    let holds = !there || !runs || *assignment.deployment.id() == container.deployment;
    require(holds, "what others boot is left alone", || {
        let by = assignment.deployment.id().short();
        format!("{} on {} is removed by {by}", container.replica.name, host.name)
    })
}

/// Nothing is started on a host after its discard, but by a worker that the journal knows to be gone.
pub(crate) fn what_is_discarded_stays_so(
    service: &Service,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let Some(current) = service.running().filter(|running| running.id() == assignment.deployment.id()) else {
        return Ok(());
    };
    let (boot, discard) = (&assignment.task, assignment.task.beside(Stage::Discard));
    let in_force = current.state(boot).in_force == assignment.claim && current.state(boot).is_open();
    let holds = !(in_force && current.state(&discard).is_finished());
    require(holds, "what is discarded stays so", || format!("{boot} goes on after {discard}"))
}

/// While nothing runs, every host serves the release that is live, wholly old or wholly new; where not, the journal names
/// the host.
pub(crate) fn traffic_is_whole(service: &Service, host: &Host) -> Result<(), Violation> {
    if service.running().is_some() || is_named(service, host) {
        return Ok(());
    }
    let (live, serving) = (service.live().map(|live| &live.deployment), host.proxy.serving());
    require(serving == live, "traffic is whole", || {
        format!("{} serves {serving:?}, and {live:?} is live", host.name)
    })
}

/// Whether the journal says of a host that a deployment could not be taken back on it.
fn is_named(service: &Service, host: &Host) -> bool {
    service.debts_of(&host.name).any(|debt| debt.stage == Stage::Restore)
}

/// A replay builds, ships and migrates nothing again that is there.
pub(crate) fn a_replay_repeats_nothing_that_is_kept(watch: &Watch, task: &Task) -> Result<(), Violation> {
    require(!watch.kept.contains(task), "a replay repeats nothing that is kept", || {
        format!("{task} is done again")
    })
}

/// What a person is told was decided stands in the log, and is in force.
pub(crate) fn what_people_are_told_is_so(bus: &Bus, decision: &Decision) -> Result<(), Violation> {
    let is_it = |entry: &Entry| matches!(&entry.event, Event::Decision(stored) if stored == decision);
    let holds = bus.entries.iter().any(|entry| is_it(entry) && !bus.illegal.contains(&entry.sequence));
    require(holds, "what people are told is so", || {
        format!("a decision on {} was said to be taken, and is not", decision.deployment().short())
    })
}

/// Once its workers live and the hosts answer, every deployment ends.
pub(crate) fn every_deployment_ends(service: &Service) -> Result<(), Violation> {
    require(service.running().is_none(), "every deployment ends", || {
        let running = service.running();
        let open = running.map(|running| {
            let tasks = running.tasks().into_iter().filter(|(_, state)| !state.is_finished());
            tasks.map(|(task, state)| format!("{task} {}", state.status.as_str())).collect::<Vec<_>>()
        });
        format!("nothing happens any more, and these are open: {}", open.unwrap_or_default().join(", "))
    })
}

/// A good release goes live on every host, whatever happened before it, and nothing else is left running.
pub(crate) fn a_good_release_goes_live(service: &Service, hosts: &[Host]) -> Result<(), Violation> {
    let Some(last) = &service.current else { return Ok(()) };
    let whole = hosts.iter().all(|host| {
        host.proxy.serving() == Some(last.id())
            && host.containers.iter().all(|container| container.deployment == *last.id())
    });
    let live = last.outcome() == Some(Outcome::Live);
    require(live && whole, "a good release goes live", || {
        format!("{:?} ended {:?}, {:?}", last.id(), last.outcome(), last.cause())
    })
}

/// The end of a deployment is written down in a snapshot.
pub(crate) fn an_end_is_in_a_snapshot(bus: &Bus) -> Result<(), Violation> {
    let last = |service: &Service| service.history.first().map(|ended| (ended.deployment.clone(), ended.at));
    let end = last(&bus.service);
    let holds = end.is_none() || bus.snapshots.last().is_some_and(|snapshot| last(&snapshot.service) == end);
    require(holds, "an end is in a snapshot", || format!("the last snapshot says nothing of {end:?}"))
}

/// Who begins at a snapshot comes to the same as who has read the whole log.
pub(crate) fn a_snapshot_and_the_rest_are_the_whole(bus: &Bus, snapshot: &Snapshot) -> Result<(), Violation> {
    let rest = bus.entries.iter().filter(|entry| entry.sequence > snapshot.service.sequence);
    let service = fold(Service::clone(&snapshot.service), rest);
    require(same(&service, &bus.service), "a snapshot and the rest are the whole", || {
        format!("the fold from snapshot {} differs", snapshot.sequence)
    })
}

/// Entries that are read twice, or stored twice, in whatever order, change nothing.
pub(crate) fn repeats_change_nothing(bus: &Bus, chance: &mut Chance) -> Result<(), Violation> {
    let whole = fold(Service::default(), &bus.entries);
    require(whole == *bus.service, "repeats change nothing", || "the log folds to something else".into())?;
    let mut service = Service::default();
    for (index, entry) in bus.entries.iter().enumerate() {
        let _ = service.apply(entry);
        if let Some(earlier) = bus.entries.get(chance.below(index + 1)) {
            let _ = service.apply(earlier);
        }
    }
    require(service == whole, "repeats change nothing", || "an entry that was read twice did".into())?;
    for sequence in 1..=5 {
        let Some(Entry { at, event, .. }) = chance.pick(&bus.entries) else { break };
        if matches!(&event, Event::Fact { fact, .. } if !matches!(fact, Fact::Claimed(_))) {
            let sequence = whole.sequence + sequence;
            let _ = service.apply(&Entry { sequence, at, event });
        }
    }
    require(same(&service, &whole), "repeats change nothing", || "a fact that was stored twice did".into())
}

fn fold<'a>(mut service: Service, entries: impl IntoIterator<Item = &'a Entry>) -> Service {
    for entry in entries {
        let _ = service.apply(entry);
    }
    service
}

/// The same but for how far they have read.
fn same(one: &Service, other: &Service) -> bool {
    let rest = |service: &Service| Service { sequence: 0, snapshot_taken: false, ..service.clone() };
    rest(one) == rest(other)
}
