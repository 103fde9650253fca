//! Workers that crash, are outlived, or have not read the journal to its end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use cutover_core::{Applied, Failure, Permission, Stage};
use journal::{Journal, plan, task};

fn journal() -> Journal {
    Journal::with(plan(1, &["a", "b"]))
}

/// A journal whose two hosts are about to switch.
fn before_the_switch() -> Journal {
    let mut journal = journal();
    journal.do_all("build, ship a, ship b, boot a, boot b, probe a, probe b");
    journal
}

#[test]
fn the_same_message_again_means_that_the_worker_is_gone() {
    let mut journal = journal();
    let (build, hint) = (task("build"), journal.hint());
    assert_eq!(journal.permission(&build, hint), Permission::Perform { expected: 0, attempt: 1 });
    let first = journal.claim_as(&build, 1, hint);
    assert_eq!(journal.permission(&build, hint), Permission::Perform { expected: first, attempt: 2 });
    let other = journal.hint();
    assert_eq!(journal.permission(&build, other), Permission::NotNow);
}

#[test]
fn a_task_that_kills_its_workers_is_given_up() {
    let mut journal = journal();
    let (build, hint) = (task("build"), journal.hint());
    for _ in 0..Stage::Build.attempts() {
        assert!(matches!(journal.permission(&build, hint), Permission::Perform { .. }));
        journal.claim_as(&build, 1, hint);
    }
    let Permission::Close { failure, attempt: 5, .. } = journal.permission(&build, hint) else {
        panic!("{:?}", journal.permission(&build, hint));
    };
    assert_eq!(failure.message, "build: given up after 4 workers took it and none came back");
    let claim = journal.claim_as(&build, 1, hint);
    journal.fail(&build, claim, failure).unwrap();
    assert_eq!(journal.stands(), "failed");
}

#[test]
fn the_task_of_a_worker_that_is_gone_is_closed_when_the_deployment_is_taken_back() {
    let mut journal = journal();
    journal.do_all("build, ship a, ship b, boot a");
    let (boot, hint) = (task("boot b"), journal.hint());
    journal.claim_as(&boot, 1, hint);
    journal.abort().unwrap();
    let Permission::Close { expected, failure, .. } = journal.permission(&boot, hint) else {
        panic!("not closed")
    };
    assert_eq!(expected, journal.claims[&(journal.current().id().clone(), boot.clone())]);
    let claim = journal.claim_as(&boot, journal.service.last_decision, hint);
    journal.fail(&boot, claim, failure).unwrap();
    assert_eq!(journal.stands(), "discard a, discard b");
}

#[test]
fn what_takes_back_is_gone_on_with_by_the_next_worker() {
    let mut journal = before_the_switch();
    journal.do_all("switch a, switch b");
    journal.abort().unwrap();
    let (restore, hint) = (task("restore a"), journal.hint());
    let claim = journal.claim_as(&restore, journal.service.last_decision, hint);
    assert!(matches!(journal.permission(&restore, hint), Permission::Perform { attempt: 2, .. }));
    assert!(journal.current().holds(&restore, claim));
}

#[test]
fn a_message_for_what_is_done_or_not_due_says_nothing() {
    let mut journal = journal();
    journal.do_all("build");
    let hint = journal.hint();
    assert_eq!(journal.permission(&task("build"), hint), Permission::Nothing);
    assert_eq!(journal.permission(&task("switch a"), hint), Permission::Nothing);
    assert_eq!(journal.permission(&task("restore a"), hint), Permission::Nothing);
}

/// Work is published with the decision that it follows from, as far as that can be foreseen: here the probe was claimed in
/// between, and the discard has to wait. Forgotten, it could not be published again within the duplicates window.
#[test]
fn a_message_that_comes_before_its_task_is_due_is_not_forgotten() {
    let mut journal = journal();
    journal.do_all("build, ship a, ship b, boot a, boot b");
    let (probe, discard) = (task("probe a"), task("discard a"));
    let claim = journal.claim(&probe);
    journal.abort().unwrap();
    let hint = journal.hint();
    let needs = |journal: &Journal, name: &str| journal.current().needs(&task(name), hint);
    assert_eq!(journal.permission(&discard, hint), Permission::Nothing);
    assert!(needs(&journal, "discard a"));
    assert!(needs(&journal, "probe a"), "it is claimed, and has to be closed");
    assert!(!needs(&journal, "probe b"), "it is on the way forward");
    journal.fail(&probe, claim, Failure::lasting("stopped")).unwrap();
    journal.do_all("discard a");
    assert!(!needs(&journal, "discard a"));
    assert!(needs(&journal, "discard b"));
    journal.do_all("discard b");
    assert!(!needs(&journal, "discard b"));
    assert!(!needs(&journal, "ship z"));
}

/// An acknowledgement counts for every delivery of a message: one that was given when the round was over may arrive when
/// the message has been delivered again, to a worker that has seen the replay.
#[test]
fn a_message_of_an_earlier_round_says_nothing() {
    let mut journal = journal();
    journal.do_all("build, ship a, ship b");
    let (boot, hint) = (task("boot a"), journal.sequence());
    assert!(matches!(journal.permission(&boot, hint), Permission::Perform { .. }));
    journal.abort().unwrap();
    assert!(!journal.current().needs(&boot, hint));
    journal.replay(None).unwrap();
    assert_eq!(journal.permission(&boot, hint), Permission::Nothing);
    assert!(!journal.current().needs(&boot, hint));
    let hint = journal.hint();
    assert!(matches!(journal.permission(&boot, hint), Permission::Perform { .. }));
    assert!(journal.current().needs(&boot, hint));
}

#[test]
fn a_message_that_comes_too_early_is_told_when() {
    let mut journal = journal();
    let build = task("build");
    let claim = journal.claim(&build);
    journal.fail(&build, claim, Failure::passing("not now")).unwrap();
    let hint = journal.hint();
    let half = std::time::Duration::from_millis(500);
    assert_eq!(journal.permission(&build, hint), Permission::NotBefore(journal.now.after(half)));
    journal.now = journal.now.after(half);
    assert_eq!(journal.permission(&build, hint), Permission::Perform { expected: claim, attempt: 2 });
}

#[test]
fn what_an_outlived_worker_says_changes_nothing() {
    let mut journal = journal();
    let (build, hint) = (task("build"), journal.hint());
    let first = journal.claim_as(&build, 1, hint);
    let second = journal.claim_as(&build, 1, hint);
    assert!(!journal.current().holds(&build, first));
    assert!(journal.current().holds(&build, second));
    assert_eq!(journal.progress(&build, first), Ok(Applied::Nothing));
    assert_eq!(journal.fail(&build, first, Failure::lasting("broken")), Ok(Applied::Nothing));
    assert_eq!(journal.finish(&build, first), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "…");
    assert_eq!(journal.progress(&build, second), Ok(Applied::Changed));
    assert_eq!(journal.finish(&build, second), Ok(Applied::Changed));
    assert_eq!(journal.finish(&build, second), Ok(Applied::Nothing));
    assert_eq!(journal.finish(&build, first), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "ship a, ship b");
}

#[test]
fn facts_that_contradict_the_journal_are_illegal_and_change_nothing() {
    let mut journal = journal();
    let build = task("build");
    assert!(journal.finish(&build, 77).is_err());
    assert!(journal.finish(&task("ship z"), 1).is_err());
    assert_eq!(journal.stands(), "build");
    let claim = journal.claim(&build);
    journal.finish(&build, claim).unwrap();
    assert!(journal.fail(&build, claim, Failure::lasting("broken")).is_err());
    assert_eq!(journal.stands(), "ship a, ship b");
}

#[test]
fn a_claim_that_has_not_seen_the_abort_is_void() {
    let mut journal = before_the_switch();
    let before = journal.service.last_decision;
    journal.abort().unwrap();
    let switch = task("switch a");
    let hint = journal.hint();
    let claim = journal.claim_as(&switch, before, hint);
    assert!(!journal.current().holds(&switch, claim));
    assert_eq!(journal.finish(&switch, claim), Ok(Applied::Nothing));
    // Nothing was switched, so nothing is restored.
    assert_eq!(journal.stands(), "discard a, discard b");
}

#[test]
fn a_retire_that_has_not_seen_the_abort_is_void() {
    let mut journal = before_the_switch();
    journal.do_all("switch a, switch b, soak");
    let before = journal.service.last_decision;
    journal.abort().unwrap();
    let (retire, hint) = (task("retire a"), journal.hint());
    let claim = journal.claim_as(&retire, before, hint);
    assert!(!journal.current().holds(&retire, claim));
    assert_eq!(journal.stands(), "restore a, restore b");
}

#[test]
fn a_void_claim_does_not_outlive_the_one_in_force() {
    let mut journal = before_the_switch();
    let (switch, hint) = (task("switch a"), journal.hint());
    let before = journal.service.last_decision;
    let slow = journal.claim_as(&switch, before, hint);
    journal.abort().unwrap();
    // The message came again, to a worker that has not seen the abort; the slow one comes back after all.
    let void = journal.claim_as(&switch, before, hint);
    assert!(!journal.current().holds(&switch, void));
    assert_eq!(journal.finish(&switch, void), Ok(Applied::Nothing));
    journal.do_all("restore a");
    assert_eq!(journal.stands(), "…");
    assert_eq!(journal.finish(&switch, slow), Ok(Applied::Changed));
    assert_eq!(journal.stands(), "discard a, discard b");
}

#[test]
fn a_claim_that_has_not_seen_the_replay_is_void() {
    let mut journal = journal();
    let build = task("build");
    let claim = journal.claim(&build);
    let before = journal.service.last_decision;
    journal.fail(&build, claim, Failure::lasting("broken")).unwrap();
    journal.replay(None).unwrap();
    let hint = journal.hint();
    let stale = journal.claim_as(&build, before, hint);
    assert!(!journal.current().holds(&build, stale));
    assert_eq!(journal.permission(&build, hint), Permission::Perform { expected: stale, attempt: 3 });
    assert_eq!(journal.finish(&build, claim), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "build");
}

/// The worker's time was up, its message went to another, and it finished all the same, just before the other's claim.
#[test]
fn a_claim_of_what_is_done_is_void_and_keeps_its_place_in_the_order() {
    let mut journal = journal();
    let (build, hint) = (task("build"), journal.hint());
    let slow = journal.claim_as(&build, 1, hint);
    journal.finish(&build, slow).unwrap();
    let late = journal.claim_as(&build, 1, hint);
    assert!(!journal.current().holds(&build, late));
    assert_eq!(journal.finish(&build, late), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "ship a, ship b");
    // Whoever claims it after a replay must expect the server's last claim, or no claim would ever be taken again.
    journal.abort().unwrap();
    journal.replay(Some(Stage::Build)).unwrap();
    let hint = journal.hint();
    assert_eq!(journal.permission(&build, hint), Permission::Perform { expected: late, attempt: 3 });
}

#[test]
fn a_claim_of_what_failed_for_good_does_not_bring_the_deployment_back() {
    let mut journal = before_the_switch();
    journal.do_all("switch a, switch b");
    let (soak, hint) = (task("soak"), journal.hint());
    let slow = journal.claim_as(&soak, 1, hint);
    journal.fail(&soak, slow, Failure::lasting("too many errors")).unwrap();
    let late = journal.claim_as(&soak, 1, hint);
    assert!(!journal.current().holds(&soak, late));
    assert_eq!(journal.finish(&soak, late), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "restore a, restore b");
}

#[test]
fn a_claim_after_the_end_is_void_and_keeps_its_place_in_the_order() {
    let mut journal = journal();
    let (build, hint) = (task("build"), journal.hint());
    let slow = journal.claim_as(&build, 1, hint);
    journal.fail(&build, slow, Failure::lasting("broken")).unwrap();
    assert_eq!(journal.stands(), "failed");
    let late = journal.claim_as(&build, 1, hint);
    assert_eq!(journal.finish(&build, late), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "failed");
    journal.replay(None).unwrap();
    let hint = journal.hint();
    assert_eq!(journal.permission(&build, hint), Permission::Perform { expected: late, attempt: 3 });
}
