//! Claims and messages of what is owed, among decisions that come before them, after them and in between.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use std::time::Duration;

use cutover_core::{Applied, Fact, Failure, Permission, Plan, Span, Work};
use journal::{Journal, OWES, TO_RETIRE, id, keeping_warm, next, plan, play, task, two_hosts, unrestored};

#[test]
fn nothing_that_is_owed_is_begun_while_a_deployment_runs() {
    let mut journal = unrestored();
    let restore = task("restore a");
    let (work, hint) = (journal.work(&id(1), &restore), journal.hint());
    next(
        &mut journal,
        2,
        "
        accept       → build
        claim build  → …
        wait 1h      → …
        ",
    );
    assert_eq!(journal.permission_of(&work, hint), Permission::NotNow);
    assert!(journal.service.needs(&work, hint), "its time comes");
    let claim = journal.claim_of(&id(1), &restore);
    assert!(!journal.service.holds(&id(1), &restore, claim), "void, though it has seen everything");
    assert_eq!(journal.finish_of(&id(1), &restore, claim), Ok(Applied::Nothing));
    next(&mut journal, 2, "fail build → failed; owed: restore a of 1");
    // The void claim has taken its place in the order.
    assert!(!journal.service.needs(&work, hint));
    let (work, hint) = (journal.work(&id(1), &restore), journal.hint());
    assert_eq!(
        journal.permission_of(&work, hint),
        Permission::Perform { expected: claim, attempt: work.attempt }
    );
    next(&mut journal, 2, "do restore a, discard a of 1 → failed");
}

#[test]
fn what_was_begun_before_a_deployment_is_ended_while_it_runs() {
    let mut journal = unrestored();
    next(
        &mut journal,
        1,
        "wait 5s → degraded, not live; owed: restore a\nclaim restore a → degraded, not live; owed: …",
    );
    let restore = task("restore a");
    let claim = journal.service.state(&id(1), &restore).in_force;
    next(&mut journal, 2, "accept → build");
    assert!(journal.service.holds(&id(1), &restore, claim));
    next(
        &mut journal,
        2,
        "
        finish restore a of 1  → build
        claim build            → …
        fail build             → failed; owed: discard a of 1
        do discard a           → failed
        ",
    );
}

#[test]
fn a_worker_that_is_gone_is_followed_by_another_once_no_deployment_runs() {
    let mut journal = unrestored();
    journal.now = journal.now.after(Duration::from_secs(5));
    let (restore, hint) = (task("restore a"), journal.hint());
    let work = journal.work(&id(1), &restore);
    let first = journal.claim_as(&restore, journal.service.last_decision, hint);
    let other = journal.hint();
    assert_eq!(journal.permission_of(&work, other), Permission::Nothing);
    assert!(!journal.service.needs(&work, other), "the attempt has a message, which comes again");
    let again = journal.permission_of(&work, hint);
    assert_eq!(again, Permission::Perform { expected: first, attempt: work.attempt + 1 });
    next(&mut journal, 2, "accept → build\nclaim build → …");
    assert_eq!(journal.permission_of(&work, hint), Permission::NotNow);
    assert!(journal.service.needs(&work, hint));
    next(&mut journal, 2, "fail build → failed; owed: …");
    assert_eq!(journal.permission_of(&work, hint), again);
    let second = journal.claim_as(&restore, journal.service.last_decision, hint);
    assert!(!journal.service.holds(&id(1), &restore, first));
    assert_eq!(journal.finish(&restore, first), Ok(Applied::Nothing));
    assert_eq!(journal.finish(&restore, second), Ok(Applied::Changed));
    assert_eq!(journal.stands(), "failed; owed: discard a of 1");
}

#[test]
fn a_claim_that_has_not_seen_the_last_decision_is_void() {
    let mut journal = unrestored();
    let (restore, hint, before) = (task("restore a"), journal.hint(), journal.service.last_decision);
    next(&mut journal, 2, "accept → build\nclaim build → …\nfail build → failed; owed: restore a of 1 in 2s");
    let claim = journal.claim_as(&restore, before, hint);
    assert!(!journal.service.holds(&id(1), &restore, claim));
    assert_eq!(journal.stands(), "failed; owed: restore a of 1 in 1s");
    assert_eq!(journal.service.state(&id(1), &restore).last_claim, claim);
}

#[test]
fn what_one_round_owes_is_owed_by_the_next_and_claimed_in_one_order() {
    let mut journal = unrestored();
    let restore = task("restore a");
    next(
        &mut journal,
        1,
        "
        wait 5s              → degraded, not live; owed: restore a
        claim restore a      → degraded, not live; owed: …
        fail restore a       → degraded, not live; owed: restore a in 10s
        replay               → boot a, boot b
        do boot a, boot b    → probe a, probe b
        do probe a, probe b  → switch a, switch b
        claim switch a       → switch b
        abort                → restore a
        ",
    );
    // The deployment goes on where the obligation was.
    let hint = journal.hint();
    assert_eq!(
        journal.permission_of(&journal.work(&id(1), &restore), hint),
        journal.next_claim(&id(1), &restore)
    );
    next(
        &mut journal,
        1,
        "
        claim restore a      → …
        fail restore a       → …
        fail switch a        → discard b
        do discard b         → degraded, not live; owed: restore a in 5s
        wait 5s              → degraded, not live; owed: restore a
        ",
    );
    let hint = journal.hint();
    assert_eq!(
        journal.permission_of(&journal.work(&id(1), &restore), hint),
        journal.next_claim(&id(1), &restore)
    );
    next(
        &mut journal,
        1,
        "do restore a → degraded, not live; owed: discard a\ndo discard a → degraded, not live",
    );
}

#[test]
fn what_is_said_of_what_was_dropped_meanwhile_changes_nothing() {
    // A deployment that went all the way has left nothing of it.
    let mut journal = unrestored();
    next(
        &mut journal,
        1,
        "wait 5s → degraded, not live; owed: restore a\nclaim restore a → degraded, not live; owed: …",
    );
    let restore = task("restore a");
    let claim = journal.service.state(&id(1), &restore).in_force;
    next(&mut journal, 2, &format!("{TO_RETIRE}\ndo retire a, retire b → live"));
    assert!(!journal.service.holds(&id(1), &restore, claim));
    assert_eq!(journal.finish_of(&id(1), &restore, claim), Ok(Applied::Nothing));
    assert_eq!(journal.stands(), "live");

    // What the live one still has to stop is stopped by the one that follows it.
    let mut journal = Journal::new();
    let warm = |number| keeping_warm(plan(number, &["a"]), Span::seconds(60));
    let through = "
        accept                             → build
        do build, ship a, boot a, probe a  → switch a
        do switch a, soak                  → retire a
    ";
    play(&mut journal, &warm(1), &format!("{through}\ndo retire a → live"));
    play(
        &mut journal,
        &warm(2),
        &format!(
            "{through}
            do retire a   → live; owed: cool a in 1m
            wait 1m       → live; owed: cool a
            claim cool a  → live; owed: …
            "
        ),
    );
    let cool = task("cool a");
    let claim = journal.service.state(&id(2), &cool).in_force;
    play(&mut journal, &warm(3), &format!("{through}\ndo retire a → live; owed: cool a in 1m"));
    assert_eq!(journal.finish_of(&id(2), &cool, claim), Ok(Applied::Nothing));
    journal.claim_of(&id(2), &cool);
    assert_eq!(journal.stands(), "live; owed: cool a in 58s");
}

/// A failure that is published again is none.
#[test]
fn an_older_failure_is_not_the_reason() {
    let mut journal = unrestored();
    let restore = task("restore a");
    let mut claims = Vec::new();
    for reason in ["unreachable", "refused"] {
        claims.push(journal.claim(&restore));
        let claim = *claims.last().unwrap();
        journal.fail(&restore, claim, Failure::passing(reason)).unwrap();
    }
    let again = Fact::Failed { claim: claims[0], failure: Failure::passing("unreachable") };
    assert_eq!(journal.fact(&restore, again), Ok(Applied::Nothing));
    assert_eq!(journal.service.obligations[0].reason.as_deref(), Some("refused"));
}

/// A result and what follows from it are published at once: of a worker that was outlived in the meantime, only what follows
/// counts. Forgotten, it could not be published again within the duplicates window.
#[test]
fn a_message_that_comes_before_what_it_follows_from_is_not_forgotten() {
    let mut journal = unrestored();
    let (restore, discard) = (task("restore a"), task("discard a"));
    let (work, hint) = (journal.work(&id(1), &discard), journal.hint());
    assert_eq!(journal.permission_of(&work, hint), Permission::Nothing);
    assert!(journal.service.needs(&work, hint));
    let elsewhere = journal.work(&id(1), &task("discard b"));
    assert!(!journal.service.needs(&elsewhere, hint), "there is nothing that it would follow from");
    let claim = journal.claim(&restore);
    assert!(journal.service.needs(&work, hint));
    journal.finish(&restore, claim).unwrap();
    assert_eq!(journal.permission_of(&work, hint), journal.next_claim(&id(1), &discard));
}

/// The same where the round of a replay was thought to have ended, and what an earlier one owes to be due again.
#[test]
fn a_message_that_comes_before_the_end_is_not_forgotten() {
    let mut journal = unrestored();
    let before = journal.hint();
    next(
        &mut journal,
        1,
        "
        replay       → boot a, boot b
        claim boot b → boot a
        abort        → …
        ",
    );
    let restore = task("restore a");
    assert!(!journal.service.needs(&journal.work(&id(1), &restore), before), "it is of the first round");
    let (work, hint) = (journal.work(&id(1), &restore), journal.hint());
    assert!(journal.service.needs(&work, hint));
    next(
        &mut journal,
        1,
        "
        finish boot b → discard b
        do discard b  → aborted; owed: restore a
        ",
    );
    assert_eq!(journal.permission_of(&work, hint), journal.next_claim(&id(1), &restore));
    let discard = journal.work(&id(1), &task("discard a"));
    assert!(journal.service.needs(&discard, hint) && !journal.service.needs(&discard, before));
}

/// The message of an attempt that failed for good was acknowledged, or will be: nobody would get it again and go on.
#[test]
fn a_claim_for_a_message_of_an_attempt_that_is_over_is_void() {
    let mut journal = two_hosts(&format!("{TO_RETIRE}\ndo retire b → retire a"));
    let (retire, hint, seen) = (task("retire a"), journal.hint(), journal.service.last_decision);
    let slow = journal.claim_as(&retire, seen, hint);
    // The message came again, to a worker that looks; meanwhile the slow one says that it has failed.
    assert_eq!(journal.permission(&retire, hint), journal.next_claim(&id(1), &retire));
    journal.fail(&retire, slow, Failure::lasting("broken")).unwrap();
    let late = journal.claim_as(&retire, seen, hint);
    assert!(!journal.service.holds(&id(1), &retire, late));
    assert_eq!(journal.stands(), "degraded, live; owed: retire a in 4s");
    let (work, hint) = (journal.work(&id(1), &retire), journal.hint());
    journal.now = journal.now.after(Duration::from_secs(4));
    assert_eq!(journal.permission_of(&work, hint), Permission::Perform { expected: late, attempt: 3 });
}

/// Another replica may be read than the one that the publisher has read: it may be behind.
#[test]
fn a_message_of_an_attempt_that_is_not_known_yet_is_not_forgotten() {
    let mut journal = unrestored();
    let behind = journal.clone();
    let restore = task("restore a");
    let claim = journal.claim(&restore);
    journal.fail(&restore, claim, Failure::passing("not now")).unwrap();
    let (next, hint) = (journal.work(&id(1), &restore), journal.hint());
    assert!(journal.service.needs(&next, hint) && behind.service.needs(&next, hint));
    assert_eq!(behind.permission_of(&next, hint), Permission::NotNow);
    let last = Work { attempt: next.attempt - 1, ..next };
    assert!(!journal.service.needs(&last, hint));
    assert_eq!(journal.permission_of(&last, hint), Permission::Nothing);
}

/// A worker that knows no obligations would take their messages for those of a deployment that is over.
#[test]
fn work_that_is_owed_needs_the_protocol_that_knows_it() {
    let mut journal = Journal::new();
    let old = Plan { protocol: 1, ..plan(1, &["a", "b"]) };
    let retired = format!("{TO_RETIRE}\ndo retire b → retire a\nclaim retire a → …");
    play(&mut journal, &old, &retired);
    play(
        &mut journal,
        &old,
        "fail retire a → degraded, live; owed: retire a in 5s\nwait 5s → degraded, live; owed: retire a",
    );
    let protocols: Vec<u32> = journal.effects().0.iter().map(|work| work.protocol).collect();
    assert_eq!(protocols, [OWES]);
}
