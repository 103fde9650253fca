//! Random walks: whatever workers and people do, in whatever order, a deployment ends, once, and never wrongly; and what it
//! then owes is paid.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod checks;
mod hosts;
#[path = "../journal/mod.rs"]
mod journal;
mod messages;
mod walk;

use cutover_core::Service;
use proptest::prelude::*;
use walk::{Step, Walk};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        100 => any::<usize>().prop_map(Step::Deliver),
        8 => any::<usize>().prop_map(Step::Look),
        8 => any::<usize>().prop_map(Step::LateClaim),
        100 => any::<usize>().prop_map(Step::Finish),
        3 => any::<usize>().prop_map(Step::Fail),
        15 => any::<usize>().prop_map(Step::FailLate),
        2 => any::<usize>().prop_map(Step::Stumble),
        4 => any::<usize>().prop_map(Step::Crash),
        3 => any::<usize>().prop_map(Step::StaleClaim),
        5 => any::<usize>().prop_map(Step::VoidClaim),
        3 => any::<usize>().prop_map(Step::Repeat),
        2 => Just(Step::Abort),
        3 => any::<usize>().prop_map(Step::Replay),
        6 => any::<usize>().prop_map(Step::Accept),
        8 => any::<usize>().prop_map(Step::WarmRollback),
        1 => any::<usize>().prop_map(Step::Forgive),
        4 => Just(Step::Snapshot),
        4 => (1..400_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_deployment_ends_once_and_never_wrongly(steps in prop::collection::vec(step(), 1..400)) {
        let mut walk = Walk::new();
        for step in steps {
            let current = walk.journal.current();
            let (ended, outcome) = (walk.service().history.len(), current.outcome());
            let began = (current.id().clone(), current.round);
            walk.take(step);
            walk.check();
            let (current, ends) = (walk.journal.current(), walk.service().history.len() - ended);
            prop_assert!(ends <= 1);
            if outcome.is_some() && began == (current.id().clone(), current.round) {
                prop_assert_eq!(current.outcome(), outcome);
                prop_assert_eq!(ends, 0);
            }
        }
        walk.leave_alone();
        prop_assert_eq!(&walk.journal.refold(), walk.service());
        for snapshot in walk.snapshots.iter().chain([walk.service()]) {
            let taken = Service { snapshot_taken: true, ..walk.service().clone() };
            prop_assert_eq!(&Service { snapshot_taken: true, ..walk.journal.fold_from(snapshot) }, &taken);
        }
    }
}
