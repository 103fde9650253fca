//! What two proxies say together, while one takes over from the other.

use std::collections::BTreeSet;

use cutover_control::{ServiceStatus, SetStatus, TargetStatus};

/// Adds what the other proxy has in flight of a service to what this one says. What became of its requests isn't added where
/// this one has the release: it began with what the other one had counted, and the few that end there since are in neither's
/// sum. What the other one alone still has of a release keeps its counters, as they may not fall while that drains.
pub(crate) fn add(ours: &mut ServiceStatus, theirs: ServiceStatus) {
    // Before any is added: the sets of a release count together.
    let known: BTreeSet<String> = ours.sets().chain(&ours.forgotten).map(|set| set.release.clone()).collect();
    let canaries =
        (ours.canary.as_mut().map(|canary| &mut canary.set), theirs.canary.map(|canary| canary.set));
    let sets = [(ours.active.as_mut(), theirs.active), (ours.previous.as_mut(), theirs.previous), canaries];
    for (ours, theirs) in sets {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.deployment == theirs.deployment => {
                ours.targets.iter_mut().for_each(|target| add_flight(target, &theirs));
            }
            _ => {}
        }
    }
    if let (Some(ours), Some(theirs)) = (&mut ours.pause, theirs.pause) {
        ours.waiting += theirs.waiting;
    }
    for set in theirs.draining.into_iter().filter(|set| busy(set).next().is_some()) {
        ours.draining.push(if known.contains(&set.release) { flight(&set) } else { set });
    }
    ours.forgotten.extend(theirs.forgotten.into_iter().filter(|gone| !known.contains(&gone.release)));
}

/// The displaced targets of a service that the other proxy still has something in flight on.
pub(crate) fn draining(theirs: ServiceStatus) -> Vec<TargetStatus> {
    theirs.draining.iter().flat_map(busy).cloned().collect()
}

/// A set with nothing but what it has in flight.
fn flight(set: &SetStatus) -> SetStatus {
    SetStatus { targets: set.targets.clone(), ..SetStatus::new(&set.deployment, &set.release) }
}

fn busy(set: &SetStatus) -> impl Iterator<Item = &TargetStatus> {
    set.targets.iter().filter(|target| target.in_flight > 0)
}

fn add_flight(target: &mut TargetStatus, set: &SetStatus) {
    for other in &set.targets {
        if other.replica == target.replica && other.address == target.address {
            target.in_flight += other.in_flight;
            target.streams += other.streams;
            target.upgraded += other.upgraded;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cutover_control::Epoch;

    use super::*;

    fn set(deployment: &str, in_flight: u64) -> SetStatus {
        SetStatus {
            targets: vec![TargetStatus {
                in_flight,
                streams: in_flight.saturating_sub(1),
                ..TargetStatus::new("app-1", "127.0.0.1:3000".parse().unwrap())
            }],
            requests: 10,
            ..SetStatus::new(deployment, "r")
        }
    }

    fn service(active: SetStatus, draining: Vec<SetStatus>) -> ServiceStatus {
        let epoch = Epoch { journal: "j".to_owned(), sequence: 1 };
        let known = ServiceStatus::new("production/app".parse().unwrap(), epoch);
        ServiceStatus { active: Some(active), draining, ..known }
    }

    #[test]
    fn what_is_in_flight_in_either_is_in_flight() {
        let mut ours = service(set("d2", 1), vec![]);
        let theirs = service(set("d2", 3), vec![set("d1", 2), set("d0", 0)]);
        assert_eq!(draining(theirs.clone()).iter().map(|target| target.in_flight).collect::<Vec<_>>(), [2]);
        add(&mut ours, theirs);
        let active = ours.active.unwrap();
        let target = &active.targets[0];
        assert_eq!((target.in_flight, target.streams, active.requests), (4, 2, 10));
        let draining: Vec<_> = ours.draining.iter().map(|set| set.deployment.as_str()).collect();
        assert_eq!(draining, ["d1"]);
    }

    #[test]
    fn counters_of_a_release_that_only_the_other_has_are_kept_and_no_others_are_added() {
        let of = |release: &str, set: SetStatus| SetStatus { release: release.to_owned(), ..set };
        let mut ours = service(set("d3", 1), vec![]);
        ours.forgotten = vec![of("forgotten", set("", 0))];
        let draining = vec![
            of("old", set("d0", 1)),
            of("old", set("d1", 1)),
            set("d2", 1),
            of("forgotten", set("d4", 1)),
        ];
        let gone = vec![of("old", set("", 0)), set("", 0)];
        add(&mut ours, ServiceStatus { forgotten: gone, ..service(set("d3", 0), draining) });
        let counted = |sets: &[SetStatus]| -> Vec<_> {
            sets.iter().map(|set| (set.release.clone(), set.requests)).collect()
        };
        let counts = |release: &str, requests| (release.to_owned(), requests);
        let draining = [counts("old", 10), counts("old", 10), counts("r", 0), counts("forgotten", 0)];
        assert_eq!(counted(&ours.draining), draining);
        assert_eq!(counted(&ours.forgotten), [counts("forgotten", 10), counts("old", 10)]);
    }

    #[test]
    fn another_deployment_of_theirs_is_not_ours() {
        let mut ours = service(set("d2", 1), vec![]);
        add(&mut ours, service(set("d1", 3), vec![]));
        assert_eq!(ours.active.unwrap().targets[0].in_flight, 1);
    }
}
