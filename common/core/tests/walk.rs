//! Random walks: whatever workers and people do, in whatever order, a deployment ends, once, and never wrongly.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use cutover_core::{Applied, Decision, Event, Fact, Failure, Outcome, Permission, Stage, Status, Task};
use journal::{Journal, plan};
use proptest::prelude::*;

/// What may happen next; the number picks the task.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(usize),
    Finish(usize),
    Fail(usize),
    Stumble(usize),
    /// The worker is gone, and its message is delivered again.
    Crash(usize),
    /// A claim by somebody who has not read the journal to its end: of what is settled, or with no decision seen.
    StaleClaim(usize),
    /// An earlier fact is published again.
    Repeat(usize),
    Abort,
    Replay(usize),
    Accept,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any::<usize>().prop_map(Step::Claim),
        20 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Stumble),
        1 => any::<usize>().prop_map(Step::Crash),
        1 => any::<usize>().prop_map(Step::StaleClaim),
        1 => any::<usize>().prop_map(Step::Repeat),
        1 => Just(Step::Abort),
        1 => any::<usize>().prop_map(Step::Replay),
        1 => Just(Step::Accept),
    ]
}

fn pick<T: Clone>(items: &[T], number: usize) -> Option<T> {
    items.get(number.checked_rem(items.len())?).cloned()
}

fn all_tasks(journal: &Journal) -> Vec<Task> {
    let plan = &journal.current().plan;
    plan.tasks()
        .chain([Stage::Restore, Stage::Discard].into_iter().flat_map(|stage| plan.tasks_of(stage)))
        .collect()
}

fn open_tasks(journal: &Journal) -> Vec<Task> {
    let tasks = all_tasks(journal).into_iter();
    tasks
        .filter(|task| journal.service.running().is_some() && journal.current().state(task).is_open())
        .collect()
}

fn due_tasks(journal: &Journal) -> Vec<Task> {
    let running = journal.service.running().into_iter();
    running.flat_map(|current| current.due().into_iter().map(|due| due.task)).collect()
}

/// The sequence of the claim that a worker holds.
fn held(journal: &Journal, task: &Task) -> u64 {
    journal.current().state(task).in_force
}

fn take(journal: &mut Journal, step: Step) {
    match step {
        Step::Claim(number) => {
            if let Some(task) = pick(&due_tasks(journal), number) {
                journal.claim(&task);
            }
        }
        Step::Finish(number) => {
            if let Some(task) = pick(&open_tasks(journal), number) {
                let claim = held(journal, &task);
                assert_eq!(journal.finish(&task, claim), Ok(Applied::Changed));
            }
        }
        Step::Fail(number) | Step::Stumble(number) => {
            if let Some(task) = pick(&open_tasks(journal), number) {
                let claim = held(journal, &task);
                let failure =
                    Failure { retry: matches!(step, Step::Stumble(_)), ..Failure::lasting("broken") };
                assert_eq!(journal.fail(&task, claim, failure), Ok(Applied::Changed));
            }
        }
        Step::Crash(number) => {
            let Some(task) = pick(&open_tasks(journal), number) else { return };
            let decision = journal.service.last_decision;
            let Status::Claimed { claim, .. } = journal.current().state(&task).status else {
                return;
            };
            let expected = journal.claims.get(&(journal.current().id().clone(), task.clone())).copied();
            match journal.permission(&task, claim.hint) {
                Permission::Perform { expected: sequence, .. } => {
                    assert_eq!(Some(sequence), expected);
                    journal.claim_as(&task, decision, claim.hint);
                }
                Permission::Close { expected: sequence, failure, .. } => {
                    assert_eq!(Some(sequence), expected);
                    let closing = journal.claim_as(&task, decision, claim.hint);
                    assert_eq!(journal.fail(&task, closing, failure), Ok(Applied::Changed));
                }
                other => panic!("{other:?}"),
            }
        }
        Step::StaleClaim(number) => {
            let Some(task) = pick(&all_tasks(journal), number) else { return };
            let settled =
                journal.current().state(&task).is_settled(task.stage) || journal.service.running().is_none();
            let decision = if settled { journal.service.last_decision } else { 0 };
            let hint = journal.hint();
            let before = (due_tasks(journal), journal.current().outcome());
            let claim = journal.claim_as(&task, decision, hint);
            assert!(!journal.current().holds(&task, claim));
            assert_eq!((due_tasks(journal), journal.current().outcome()), before);
        }
        Step::Repeat(number) => {
            let Some(entry) = pick(&journal.entries, number) else { return };
            let before = journal.service.clone();
            assert_eq!(journal.service.apply(&entry), Ok(Applied::Nothing));
            assert_eq!(journal.service, before);
            if matches!(&entry.event, Event::Fact { fact, .. } if !matches!(fact, Fact::Claimed(_))) {
                assert_ne!(journal.append(entry.event), Ok(Applied::Changed));
                assert_eq!(journal.service.current, before.current);
            }
        }
        Step::Abort => drop(journal.abort()),
        Step::Replay(number) => {
            drop(journal.replay(pick(&Stage::ALL, number).filter(|stage| !stage.takes_back())))
        }
        Step::Accept => {
            let number = u8::try_from(journal.service.history.len() + 2).unwrap();
            let _ = journal.decide(Decision::Accepted(Box::new(plan(number, &["a", "b"]))));
        }
    }
}

/// What must be true at any time.
fn check(journal: &Journal) {
    let current = journal.current();
    let state =
        |stage: Stage| current.plan.tasks_of(stage).map(|task| current.state(&task)).collect::<Vec<_>>();
    let due = current.due();
    let is_due = |stage: Stage| due.iter().any(|due| due.task.stage == stage);
    if current.outcome().is_none() {
        assert!(!due.is_empty() || !open_tasks(journal).is_empty(), "stuck");
    }
    if is_due(Stage::Switch) {
        assert!(
            state(Stage::Probe).iter().all(|probe| probe.is_finished()),
            "a host switches before all are ready"
        );
    }
    if is_due(Stage::Discard) {
        let forward = current.plan.tasks().collect::<Vec<_>>();
        assert!(
            !forward.iter().any(|task| current.state(task).is_open()),
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
    if matches!(current.outcome(), Some(Outcome::Live)) {
        assert!(state(Stage::Switch).iter().all(|switch| switch.is_finished()));
    }
    for task in all_tasks(journal) {
        let server = journal.claims.get(&(current.id().clone(), task.clone())).copied().unwrap_or(0);
        assert_eq!(
            current.state(&task).last_claim,
            server,
            "{task}: the next claim would be refused for ever"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_deployment_ends_once_and_never_wrongly(steps in prop::collection::vec(step(), 1..150)) {
        let mut journal = Journal::with(plan(1, &["a", "b"]));
        for step in steps {
            let (ended, outcome) = (journal.service.history.len(), journal.current().outcome());
            let began = (journal.current().id().clone(), journal.current().round);
            take(&mut journal, step);
            check(&journal);
            let ends = journal.service.history.len() - ended;
            prop_assert!(ends <= 1);
            if outcome.is_some() && began == (journal.current().id().clone(), journal.current().round) {
                prop_assert_eq!(journal.current().outcome(), outcome);
                prop_assert_eq!(ends, 0);
            }
        }
        prop_assert_eq!(&journal.refold(), &journal.service);
        let snapshot = serde_json::to_vec(&journal.service).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<cutover_core::Service>(&snapshot).unwrap(), &journal.service);
        // Left alone with workers that do their work, it comes to its end.
        for _ in 0..50 {
            if journal.current().outcome().is_some() {
                break;
            }
            for task in due_tasks(&journal) {
                journal.claim(&task);
            }
            for task in open_tasks(&journal) {
                let claim = held(&journal, &task);
                journal.finish(&task, claim).unwrap();
            }
        }
        prop_assert!(journal.current().outcome().is_some());
    }
}
