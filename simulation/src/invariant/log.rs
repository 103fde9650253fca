//! The journal: what is decided, how deployments end, and what a fold comes to.

use cutover_core::{Decision, Deployment, Entry, Event, Fact, Service, Task};

use super::{Violation, require};
use crate::bus::{Bus, Snapshot};
use crate::chance::Chance;
use crate::watch::Watch;

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

/// A deployment is only accepted, or gone on with, while none runs.
pub(crate) fn one_deployment_at_a_time(before: &Service, after: &Service) -> Result<(), Violation> {
    let next = after.current.as_ref().map(Deployment::id);
    require(before.running().is_none(), "one deployment at a time", || {
        format!("{next:?} began while {:?} ran", before.running().map(Deployment::id))
    })
}

/// When a deployment ends, no worker has a task of it.
pub(crate) fn nothing_is_in_hand_at_the_end(service: &Service) -> Result<(), Violation> {
    let tasks = service.current.iter().flat_map(Deployment::tasks);
    let open: Vec<String> =
        tasks.filter(|(_, state)| state.is_open()).map(|(task, _)| task.to_string()).collect();
    require(open.is_empty(), "nothing is in hand at the end", || format!("{open:?} are"))
}

/// A replay builds, ships and migrates nothing again that is there.
pub(crate) fn a_replay_repeats_nothing_that_is_kept(watch: &Watch, task: &Task) -> Result<(), Violation> {
    require(!watch.kept.contains(task), "a replay repeats nothing that is kept", || {
        format!("{task} is done again")
    })
}
