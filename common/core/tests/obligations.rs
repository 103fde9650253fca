//! What deployments owe after their end: who may pay it and when, what follows, and what becomes of it when it is forgiven,
//! replayed or overtaken by the next deployment.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use std::collections::BTreeSet;

use cutover_core::{Digest, Failure, Model, Permission};
use journal::{Journal, TO_RETIRE, TO_SWITCH, id, next, plan, task, two_hosts, unrestored};

#[test]
fn a_retire_is_tried_again_until_it_is_done() {
    let mut journal = two_hosts(&format!(
        "{TO_RETIRE}
        claim retire a    → retire b
        fail retire a     → retire b
        do retire b       → degraded, live; owed: retire a in 5s
        wait 4s           → degraded, live; owed: retire a in 1s
        wait 1s           → degraded, live; owed: retire a
        claim retire a    → degraded, live; owed: …
        stumble retire a  → degraded, live; owed: retire a in 10s
        wait 10s          → degraded, live; owed: retire a
        do retire a       → degraded, live
        "
    ));
    assert_eq!(journal.service.live().unwrap().release.version, "v1");
    assert_eq!(journal.service.history.len(), 1, "to pay is no end of a deployment");
    assert!(journal.forgive("a").is_err(), "nothing is owed any more");
}

#[test]
fn what_is_restored_late_is_discarded_then() {
    let mut journal = unrestored();
    let [debt] = journal.service.debts().collect::<Vec<_>>()[..] else { panic!("one is owed") };
    assert_eq!((&debt.task, debt.reason.as_deref()), (&task("restore a"), Some("broken")));
    next(
        &mut journal,
        1,
        "
        wait 5s       → degraded, not live; owed: restore a
        do restore a  → degraded, not live; owed: discard a
        do discard a  → degraded, not live
        ",
    );
    assert!(journal.service.live().is_none());
}

#[test]
fn a_discard_is_tried_again_until_it_is_done() {
    two_hosts(
        "
        accept                            → build
        do build, ship a, ship b, boot a  → boot b, probe a
        abort                             → discard a
        claim discard a                   → …
        fail discard a                    → degraded, not live; owed: discard a in 5s
        wait 5s                           → degraded, not live; owed: discard a
        do discard a                      → degraded, not live
        ",
    );
}

#[test]
fn tried_again_for_ever_with_a_distance_that_grows_to_ten_minutes() {
    let mut journal = unrestored();
    let restore = task("restore a");
    let mut waits = Vec::new();
    for _ in 0..9 {
        let [owed] = &journal.service.obligations.clone()[..] else { panic!("one is owed") };
        waits.push(owed.not_before().since(journal.now).as_secs());
        assert_eq!(journal.effects(), (vec![], Some(owed.not_before())));
        let (work, hint) = (journal.work(&id(1), &restore), journal.hint());
        assert_eq!(journal.permission_of(&work, hint), Permission::NotBefore(owed.not_before()));
        assert!(journal.service.needs(&work, hint), "a message that comes early is not forgotten");
        journal.now = owed.not_before();
        assert_eq!(journal.permission_of(&work, hint), journal.next_claim(&id(1), &restore));
        let claim = journal.claim_as(&restore, journal.service.last_decision, hint);
        // A lasting failure may be over as well: nobody says when a host is mended.
        journal.fail(&restore, claim, Failure::lasting("broken")).unwrap();
        assert!(!journal.service.needs(&work, hint), "the next attempt has a message of its own");
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
}

#[test]
fn remembered_until_a_host_goes_all_the_way_or_is_forgiven() {
    let mut journal = unrestored();
    next(
        &mut journal,
        2,
        "
        accept       → build
        claim build  → …
        fail build   → failed; owed: restore a of 1 in 2s
        ",
    );
    let live = format!("{TO_RETIRE}\ndo retire a, retire b → live");
    next(&mut journal, 3, &live);
    assert!(journal.service.owing.is_empty());
    assert!(journal.forgive("a").is_err(), "nothing is owed any more");

    let mut journal = unrestored();
    next(
        &mut journal,
        1,
        "
        forgive b  → illegal decision: host b owes nothing
        forgive a  → degraded, not live
        forgive a  → illegal decision: host a owes nothing
        ",
    );
    assert_eq!(journal.service.history.len(), 1, "forgiving is no end of a deployment");
}

/// The workers of an earlier round would take from the next one what has the same name.
#[test]
fn no_replay_while_what_is_owed_is_being_done() {
    let mut journal = unrestored();
    let settling = "illegal decision: restore on a of deployment 000001 is being done: try again in a moment";
    next(
        &mut journal,
        1,
        &format!(
            "
            wait 5s          → degraded, not live; owed: restore a
            claim restore a  → degraded, not live; owed: …
            replay           → {settling}
            forgive a        → {settling}
            fail restore a   → degraded, not live; owed: restore a in 10s
            replay           → boot a, boot b
            abort            → aborted; owed: restore a
            forgive a        → aborted
            replay           → boot a, boot b
            "
        ),
    );
}

#[test]
fn what_a_round_has_booted_is_discarded_even_if_the_next_one_boots_nothing() {
    let mut journal = unrestored();
    next(
        &mut journal,
        1,
        "
        replay from build  → build
        claim build        → …
        fail build         → failed; owed: restore a in 2s
        wait 2s            → failed; owed: restore a
        do restore a       → failed; owed: discard a
        do discard a       → failed
        ",
    );
}

#[test]
fn what_is_owed_twice_over_is_owed_once() {
    let mut journal = two_hosts(
        "
        accept                                    → build
        do build, ship a, ship b, boot a, boot b  → probe a, probe b
        abort                                     → discard a, discard b
        do discard b                              → discard a
        claim discard a                           → …
        fail discard a                            → degraded, not live; owed: discard a in 5s
        replay                                    → boot a, boot b
        do boot a, boot b, probe a, probe b       → switch a, switch b
        do switch a                               → switch b
        abort                                     → restore a
        claim restore a                           → …
        fail restore a                            → discard b
        do discard b                              → degraded, not live; owed: discard a, restore a in 5s
        wait 5s                                   → degraded, not live; owed: discard a, restore a
        do restore a                              → degraded, not live; owed: discard a
        do discard a                              → degraded, not live
        ",
    );
    assert!(journal.forgive("a").is_err());
}

#[test]
fn what_went_live_after_all_is_never_taken_back_for_a_debt() {
    let mut journal = unrestored();
    next(
        &mut journal,
        1,
        "
        replay                       → boot a, boot b
        do boot a, boot b            → probe a, probe b
        do probe a, probe b          → switch a, switch b
        do switch a, switch b, soak  → retire a, retire b
        do retire b                  → retire a
        claim retire a               → …
        fail retire a                → degraded, live; owed: retire a in 5s
        ",
    );
    next(
        &mut journal,
        2,
        &format!(
            "{TO_SWITCH}
            do switch a              → switch b
            claim switch b           → …
            fail switch b            → restore a, restore b
            do restore a, restore b  → discard a, discard b
            do discard a, discard b  → taken back; owed: retire a of 1
            "
        ),
    );
}

/// Only the one that is active on a host can retire there; it takes with it what an earlier one has left.
#[test]
fn a_host_owes_a_retire_of_nobody_but_the_one_that_is_live() {
    let mut journal = two_hosts(&format!(
        "{TO_RETIRE}
        do retire b     → retire a
        claim retire a  → …
        fail retire a   → degraded, live; owed: retire a in 5s
        "
    ));
    next(
        &mut journal,
        2,
        &format!(
            "{TO_RETIRE}
            do retire b     → retire a
            claim retire a  → …
            fail retire a   → degraded, live; owed: retire a in 5s
            wait 5s         → degraded, live; owed: retire a
            do retire a     → degraded, live
            "
        ),
    );
}

#[test]
fn paid_by_the_switch_of_the_next_one_and_discarded_once_that_is_taken_back() {
    let aborted = "discard a, discard b\ndo discard a, discard b → aborted";
    let mut journal = unrestored();
    next(&mut journal, 2, &format!("{TO_SWITCH}\nabort → {aborted}; owed: restore a of 1"));
    next(
        &mut journal,
        3,
        &format!(
            "{TO_SWITCH}
            do switch a       → switch b
            abort             → restore a
            do restore a      → {aborted}; owed: discard a of 1
            do discard a      → aborted
            "
        ),
    );
}

#[test]
fn a_retire_leaves_nothing_to_be_paid_on_its_host() {
    let mut journal = two_hosts(&format!(
        "{TO_RETIRE}\ndo retire b → retire a\nclaim retire a → …\nfail retire a → degraded, live; owed: retire a in 5s"
    ));
    next(
        &mut journal,
        2,
        &format!(
            "{TO_SWITCH}
            claim switch a        → switch b
            claim switch b        → …
            fail switch b         → restore a, restore b
            claim restore a       → restore b
            fail restore a        → restore b
            claim restore b       → …
            fail restore b        → …
            fail switch a         → degraded, not live; owed: retire a of 1, restore a in 5s, restore b in 5s
            do retire a of 1      → degraded, not live; owed: restore b in 3s
            "
        ),
    );
}

#[test]
fn models_that_a_deployment_may_need_are_kept_and_none_goes_while_another_one_runs() {
    let with_model = |number: u8| {
        let mut plan = plan(number, &["a"]);
        let version = Digest::of(&[number]);
        let (name, mount) = ("ranker".parse().unwrap(), "/models/ranker".to_owned());
        plan.release.settings.models = vec![Model { name, version, mount, seen: None }];
        plan
    };
    let kept = |journal: &Journal, number: u8| {
        let models = journal.service.models_to_keep(&id(number))?;
        Some(models.iter().map(|model| model.version.clone()).collect::<BTreeSet<_>>())
    };
    let versions = |numbers: &[u8]| numbers.iter().map(|number| Digest::of(&[*number])).collect();
    let mut journal = Journal::with(with_model(1));
    assert_eq!(kept(&journal, 1), Some(versions(&[1])));
    journal.abort().unwrap();
    assert!(journal.service.running().is_none());

    journal.accept(&with_model(2)).unwrap();
    assert_eq!(kept(&journal, 1), None, "the second one runs");
    assert_eq!(kept(&journal, 2), Some(versions(&[2])), "the first one owes nothing");
    journal.abort().unwrap();
    assert_eq!(kept(&journal, 1), Some(versions(&[2])), "it may be replayed");
}
