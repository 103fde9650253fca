//! What must be true at any time, whatever has happened.

use std::collections::BTreeSet;

use cutover_core::{Deployment, DeploymentId, Event, Obligation, Outcome, Stage};

use crate::walk::{Walk, known};

/// Ended deployments whose entries are not purged.
const REMEMBERED: usize = 2;

impl Walk {
    /// What must be true at any time.
    pub fn check(&self) {
        check_deployment(self.journal.current());
        self.check_obligations();
        self.hosts.check(self.service());
        for (id, task) in self.all() {
            let server = self.journal.claims.get(&(id.clone(), task.clone())).copied().unwrap_or_default();
            let next = self.service().state(&id, &task).last_claim;
            assert_eq!(next, server, "{task} of {id}: the next claim would be refused for ever");
            // An obligation that is written down only now begins with what its deployment knows.
            assert_eq!(
                self.service().deployment(&id).unwrap().state(&task).last_claim,
                server,
                "{task} of {id}"
            );
        }
        if let Some(bound) = self.service().needless_below(REMEMBERED) {
            self.check_purge(bound);
        }
    }

    fn check_obligations(&self) {
        let service = self.service();
        for (index, owed) in service.obligations.iter().enumerate() {
            let Some(owing) = service.deployment(&owed.deployment) else {
                panic!("nobody can pay {} of {}", owed.task, owed.deployment);
            };
            assert!(owed.host().is_some_and(|host| owing.plan.host(host).is_some()));
            let again =
                |other: &Obligation| (&other.deployment, &other.task) == (&owed.deployment, &owed.task);
            assert!(!service.obligations.iter().skip(index + 1).any(again), "{} is owed twice", owed.task);
            if let (Some(running), true) = (service.running(), owed.state.is_open()) {
                assert_ne!(running.id(), owing.id(), "{} was not settled", owed.task);
                assert!(owed.state.in_force < running.round_began, "{} is in force", owed.task);
            }
        }
        let ids: BTreeSet<_> = known(service).map(Deployment::id).collect();
        assert_eq!(ids.len(), known(service).count());
        for owing in &service.owing {
            assert!(service.obligations.iter().any(|owed| owed.deployment == *owing.id()));
        }
    }

    /// What may be purged below a sequence is of use to nobody.
    fn check_purge(&self, bound: u64) {
        let service = self.service();
        assert!(service.last_decision >= bound);
        let covered = self.snapshots.last().is_some_and(|snapshot| snapshot.sequence >= bound);
        assert!(covered, "what is purged is in no snapshot");
        let of = |id: &DeploymentId| {
            let is_its = |event: &Event| matches!(event, Event::Fact { deployment, .. } if deployment == id);
            let first = self.journal.entries.iter().find(|entry| is_its(&entry.event));
            first.map_or(u64::MAX, |first| first.sequence)
        };
        let mut remembered: Vec<_> = service.history.iter().map(|ended| &ended.deployment).collect();
        remembered.dedup();
        for id in remembered.into_iter().take(REMEMBERED).chain(known(service).map(Deployment::id)) {
            assert!(of(id) >= bound, "{id} is remembered, or owes something");
        }
    }
}

fn check_deployment(current: &Deployment) {
    let state =
        |stage: Stage| current.plan.tasks_of(stage).map(|task| current.state(&task)).collect::<Vec<_>>();
    if matches!(current.outcome(), Some(Outcome::Live)) {
        assert!(state(Stage::Switch).iter().all(|switch| switch.is_finished()));
    }
    if current.outcome().is_some() {
        return;
    }
    let due = current.due();
    let is_due = |stage: Stage| due.iter().any(|due| due.task.stage == stage);
    let is_open = current.tasks().iter().any(|(_, state)| state.is_open());
    assert!(!due.is_empty() || is_open, "stuck");
    if is_due(Stage::Switch) {
        assert!(
            state(Stage::Probe).iter().all(|probe| probe.is_finished()),
            "a host switches before all are ready"
        );
    }
    if is_due(Stage::Discard) {
        assert!(
            !current.plan.tasks().any(|task| current.state(&task).is_open()),
            "discarded while somebody makes replicas"
        );
    }
    for discard in due.iter().filter(|due| due.task.stage == Stage::Discard) {
        let beside = |stage| current.state(&discard.task.beside(stage));
        let restored = !beside(Stage::Switch).was_claimed() || beside(Stage::Restore).is_finished();
        assert!(restored, "discarded while it may have the traffic");
    }
    if is_due(Stage::Retire) {
        assert!(
            !state(Stage::Restore).iter().any(|restore| restore.was_claimed()),
            "retired what was restored to"
        );
    }
}
