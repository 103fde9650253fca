//! Which containers may be removed: pure decisions from their labels and from what the proxy says.

use cutover_control::ServiceStatus;
use cutover_core::{DeploymentId, Epoch};
use cutover_fleet::Container;

use crate::Traffic;

/// Replicas that are to go, sorted by what the proxy still does with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal<'a> {
    /// The proxy needs them no more.
    pub free: Vec<&'a Container>,
    /// New requests go to them.
    pub serving: Vec<&'a Container>,
    /// They still have something in flight.
    pub draining: Vec<&'a Container>,
}

impl<'a> Removal<'a> {
    /// Sorts `replicas`, which were listed before the proxy was asked: what it says is of all of them.
    pub fn of(replicas: impl IntoIterator<Item = &'a Container>, traffic: &Traffic) -> Self {
        let mut sorted = Self { free: Vec::new(), serving: Vec::new(), draining: Vec::new() };
        for replica in replicas {
            let place = if traffic.serving.contains(&replica.name) {
                &mut sorted.serving
            } else if traffic.draining.contains(&replica.name) {
                &mut sorted.draining
            } else {
                &mut sorted.free
            };
            place.push(replica);
        }
        sorted
    }
}

/// Of all replicas of a service, those that a deployment has left behind which nobody knows any more: not the one that is
/// being booted under `epoch`, none of those `in_use`, and none that the proxy names. Those of another journal are never
/// among them: what that one is about to do can't be known here; nor are those of a later claim: a worker that was asleep
/// must not take what came after it for left behind.
pub fn strays<'a>(
    replicas: &'a [Container],
    booting: &DeploymentId,
    epoch: &Epoch,
    in_use: &[&DeploymentId],
    status: Option<&ServiceStatus>,
) -> Vec<&'a Container> {
    let sets = status.into_iter().flat_map(ServiceStatus::sets);
    // By the replicas' own names: a deployment that went back to warm ones has traffic on those of another.
    let named: Vec<&str> = sets.flat_map(|set| &set.targets).map(|target| target.replica.as_str()).collect();
    let is_named = |replica: &&Container| named.contains(&replica.name.as_str());
    // The proxy knows nothing of other roles: they are needed as long as what gets traffic beside them.
    let served: Vec<&DeploymentId> =
        replicas.iter().filter(is_named).map(|replica| &replica.labels.deployment).collect();
    let known = |replica: &Container| {
        replica.labels.deployment == *booting
            || in_use.contains(&&replica.labels.deployment)
            || is_named(&replica)
            || (!replica.is_web() && served.contains(&&replica.labels.deployment))
    };
    let older = |made: &Epoch| made.journal == epoch.journal && made.sequence < epoch.sequence;
    replicas.iter().filter(|replica| older(&replica.labels.epoch) && !known(replica)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_control::{CanaryStatus, MirrorStatus, SetStatus, TargetStatus};

    use super::*;
    use crate::fixture::{deployment, epoch, key, replica};

    /// What a proxy says of sets of two replicas each, given by the end of their deployment's id and what each target
    /// has in flight.
    fn status(active: Option<&str>, previous: Option<&str>, draining: &[(&str, [u64; 2])]) -> ServiceStatus {
        let set = |end: &str, in_flight: [u64; 2]| {
            let target = |number: u32, in_flight| {
                let replica = cutover_fleet::replica_name(&key(), &deployment(end), number);
                let idle = TargetStatus::new(&replica, "172.18.0.2:3000".parse().unwrap());
                TargetStatus { in_flight, ..idle }
            };
            SetStatus {
                targets: vec![target(1, in_flight[0]), target(2, in_flight[1])],
                ..SetStatus::new(deployment(end).as_str(), "0123456789ab")
            }
        };
        ServiceStatus {
            active: active.map(|end| set(end, [3, 0])),
            previous: previous.map(|end| set(end, [0, 0])),
            draining: draining.iter().map(|(end, in_flight)| set(end, *in_flight)).collect(),
            ..ServiceStatus::new(cutover_fleet::key_of(&key()), cutover_fleet::epoch_of(&epoch("j")))
        }
    }

    fn replicas(ends: &[&str]) -> Vec<Container> {
        ends.iter().flat_map(|end| [1, 2].map(|number| replica(&deployment(end), number, "j"))).collect()
    }

    /// A claim after the one that the replicas were made under.
    fn later() -> Epoch {
        Epoch { sequence: 8, ..epoch("j") }
    }

    fn names(containers: &[&Container]) -> Vec<String> {
        containers.iter().map(|container| container.name.clone()).collect()
    }

    #[test]
    fn what_has_traffic_or_requests_in_flight_is_never_free() {
        let there = replicas(&["aaaaaa", "bbbbbb", "cccccc"]);
        let said = status(Some("bbbbbb"), None, &[("cccccc", [0, 5])]);
        let removal = Removal::of(&there, &Traffic::of(Some(&said)));
        let free = ["hello-production-aaaaaa-1", "hello-production-aaaaaa-2", "hello-production-cccccc-1"];
        assert_eq!(names(&removal.free), free);
        assert_eq!(names(&removal.serving), ["hello-production-bbbbbb-1", "hello-production-bbbbbb-2"]);
        assert_eq!(names(&removal.draining), ["hello-production-cccccc-2"]);
    }

    #[test]
    fn a_service_that_the_proxy_has_never_heard_of_needs_nothing() {
        let there = replicas(&["aaaaaa"]);
        let removal = Removal::of(&there, &Traffic::of(None));
        assert_eq!(removal.free.len(), 2);
    }

    #[test]
    fn a_stray_is_what_neither_the_journal_nor_the_proxy_knows() {
        let there = replicas(&["aaaaaa", "bbbbbb", "cccccc", "dddddd"]);
        let booting = deployment("dddddd");
        let live = deployment("aaaaaa");
        let warm = deployment("cccccc");
        let table: [(&[&DeploymentId], Option<ServiceStatus>, &[&str]); 7] = [
            (&[], None, &["aaaaaa", "bbbbbb", "cccccc"]),
            (&[&live], None, &["bbbbbb", "cccccc"]),
            (&[&live, &warm], None, &["bbbbbb"]),
            (&[&live], Some(status(Some("aaaaaa"), None, &[])), &["bbbbbb", "cccccc"]),
            // The journal is behind the proxy, which is the one that serves.
            (&[&live], Some(status(Some("bbbbbb"), None, &[])), &["cccccc"]),
            (&[], Some(status(Some("bbbbbb"), Some("aaaaaa"), &[])), &["cccccc"]),
            (&[], Some(status(Some("bbbbbb"), Some("aaaaaa"), &[("cccccc", [0, 1])])), &[]),
        ];
        for (in_use, status, expected) in table {
            let found = strays(&there, &booting, &later(), in_use, status.as_ref());
            let expected: Vec<DeploymentId> =
                expected.iter().flat_map(|end| [deployment(end), deployment(end)]).collect();
            let found: Vec<DeploymentId> =
                found.iter().map(|found| found.labels.deployment.clone()).collect();
            assert_eq!(found, expected, "{in_use:?} {status:?}");
        }
    }

    #[test]
    fn a_canary_is_neither_free_nor_a_stray_also_without_any_weight() {
        let there = replicas(&["aaaaaa", "bbbbbb"]);
        let mut said = status(Some("aaaaaa"), Some("bbbbbb"), &[]);
        let (set, mirrored) = (said.previous.take().unwrap(), MirrorStatus::default());
        said.canary = Some(CanaryStatus { set, weight: 0, held_ms: 0, mirrored });
        assert_eq!(Removal::of(&there, &Traffic::of(Some(&said))).serving.len(), 4);
        let found = strays(&there, &deployment("dddddd"), &later(), &[], Some(&said));
        assert_eq!(found, Vec::<&Container>::new());
    }

    #[test]
    fn a_job_is_no_stray_as_long_as_its_deployment_serves() {
        let mut there = replicas(&["aaaaaa", "bbbbbb"]);
        for job in [1, 3] {
            there[job].labels.role = "jobs".to_owned();
            there[job].name = there[job].name.replace("-2", "-jobs-1");
        }
        let found =
            strays(&there, &deployment("dddddd"), &later(), &[], Some(&status(Some("aaaaaa"), None, &[])));
        assert_eq!(names(&found), ["hello-production-bbbbbb-1", "hello-production-bbbbbb-jobs-1"]);
    }

    #[test]
    fn what_serves_for_another_deployment_is_no_stray() {
        let there = replicas(&["aaaaaa", "bbbbbb"]);
        let mut rolled_back = status(Some("aaaaaa"), None, &[]);
        rolled_back.active.as_mut().unwrap().deployment = deployment("cccccc").to_string();
        let found = strays(&there, &deployment("dddddd"), &later(), &[], Some(&rolled_back));
        assert_eq!(names(&found), ["hello-production-bbbbbb-1", "hello-production-bbbbbb-2"]);
    }

    #[test]
    fn what_was_made_under_a_later_claim_is_no_stray() {
        let there = replicas(&["aaaaaa"]);
        let booting = deployment("dddddd");
        assert_eq!(strays(&there, &booting, &later(), &[], None).len(), 2);
        let asleep_since = Epoch { sequence: 6, ..epoch("j") };
        assert_eq!(strays(&there, &booting, &asleep_since, &[], None), Vec::<&Container>::new());
    }

    #[test]
    fn what_another_journal_has_made_is_no_stray() {
        let theirs = [replica(&deployment("aaaaaa"), 1, "another")];
        assert_eq!(strays(&theirs, &deployment("dddddd"), &later(), &[], None), Vec::<&Container>::new());
    }
}
