//! Transcripts of deployments: what happens, and after each event the tasks that are due, or how it ended. `…` stands for
//! nothing due while workers are at it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use cutover_core::{Decision, Failure, Plan};
use journal::{Journal, name, plan, rollback, task};

/// Plays a transcript and compares each line with what is written behind the arrow.
///
/// | event | |
/// |---|---|
/// | `accept` | the deployment of the plan is accepted |
/// | `abort`, `replay`, `replay from STAGE` | the other decisions |
/// | `claim TASK`, `finish TASK` | by a worker that has seen everything |
/// | `fail TASK`, `stumble TASK` | for good, or so that another attempt may go better |
/// | `do TASK, TASK` | each is claimed and finished |
/// | `wait 2s` | time passes |
fn play(journal: &mut Journal, next: &Plan, transcript: &str) {
    let mut played = String::new();
    let mut expected = String::new();
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, stands) = line.split_once('→').unwrap_or_else(|| panic!("no → in '{line}'"));
        let (event, stands) = (event.trim(), stands.trim());
        let refused = happen(journal, next, event).err().map(|illegal| illegal.to_string());
        played.push_str(&format!("{event} → {}\n", refused.unwrap_or_else(|| journal.stands())));
        expected.push_str(&format!("{event} → {stands}\n"));
    }
    assert_eq!(played, expected, "\nplayed:\n{played}\nexpected:\n{expected}");
    assert_eq!(journal.refold(), journal.service);
}

fn happen(journal: &mut Journal, next: &Plan, event: &str) -> Result<(), cutover_core::Illegal> {
    let (verb, rest) = event.split_once(' ').unwrap_or((event, ""));
    let in_force = |journal: &Journal, task| journal.current().state(task).in_force;
    match verb {
        "accept" => journal.decide(Decision::Accepted(Box::new(next.clone())))?,
        "abort" => journal.abort()?,
        "replay" => journal.replay(rest.strip_prefix("from ").map(|stage| stage.parse().unwrap()))?,
        "do" => {
            journal.do_all(rest);
            return Ok(());
        }
        "wait" => {
            journal.now = journal.now.after(humantime::parse_duration(rest).unwrap());
            return Ok(());
        }
        "claim" => {
            journal.claim(&task(rest));
            return Ok(());
        }
        "finish" => journal.finish(&task(rest), in_force(journal, &task(rest)))?,
        "fail" => journal.fail(&task(rest), in_force(journal, &task(rest)), Failure::lasting("broken"))?,
        "stumble" => {
            journal.fail(&task(rest), in_force(journal, &task(rest)), Failure::passing("not now"))?
        }
        _ => panic!("'{event}' is no event"),
    };
    Ok(())
}

/// Plays the transcript of one deployment to two hosts, `a` and `b`.
fn two_hosts(transcript: &str) -> Journal {
    let mut journal = Journal::new();
    play(&mut journal, &plan(1, &["a", "b"]), transcript);
    journal
}

/// What `history` says of the last deployment that ended.
fn reason(journal: &Journal) -> &str {
    journal.service.history.first().and_then(|ended| ended.reason.as_deref()).unwrap_or_default()
}

/// The way to the switch on both hosts, for transcripts that are about what comes after it.
const TO_SWITCH: &str = "
    accept                             → build
    do build, ship a, ship b           → boot a, boot b
    do boot a, boot b                  → probe a, probe b
    do probe a, probe b                → switch a, switch b
";

#[test]
fn live() {
    let journal = two_hosts(
        "
        accept          → build
        claim build     → …
        finish build    → ship a, ship b
        claim ship a    → ship b
        finish ship a   → ship b, boot a
        do ship b       → boot a, boot b
        do boot a       → boot b, probe a
        do probe a      → boot b
        do boot b       → probe b
        claim probe b   → …
        finish probe b  → switch a, switch b
        do switch b     → switch a
        do switch a     → soak
        claim soak      → …
        finish soak     → retire a, retire b
        do retire a     → retire b
        do retire b     → live
        ",
    );
    assert_eq!(journal.service.live().unwrap().release.version, "v1");
    assert_eq!(journal.service.history.len(), 1);
    assert_eq!(reason(&journal), "");
}

#[test]
fn live_with_migrations_and_without_a_soak() {
    let mut plan = plan(1, &["a", "b"]);
    plan.stages.retain(|stage| stage.as_str() != "soak");
    plan.stages.push("expand".parse().unwrap());
    plan.stages.sort();
    let mut journal = Journal::new();
    play(
        &mut journal,
        &plan,
        "
        accept               → build
        do build, ship a     → ship b
        do ship b            → expand
        claim expand         → …
        finish expand        → boot a, boot b
        do boot a, boot b    → probe a, probe b
        do probe a, probe b  → switch a, switch b
        do switch a          → switch b
        do switch b          → retire a, retire b
        do retire a          → retire b
        do retire b          → live
        ",
    );
}

#[test]
fn taken_back_before_the_switch() {
    let journal = two_hosts(
        "
        accept                    → build
        do build, ship a, ship b  → boot a, boot b
        do boot a                 → boot b, probe a
        claim boot b              → probe a
        claim probe a             → …
        fail probe a              → …
        finish boot b             → discard a, discard b
        do discard b              → discard a
        do discard a              → taken back
        ",
    );
    assert_eq!(reason(&journal), "probe on a: broken");
    assert!(journal.service.live().is_none());
}

#[test]
fn taken_back_in_soak() {
    let journal = two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b  → soak
        claim soak             → …
        fail soak              → restore a, restore b
        claim restore a        → restore b
        do restore b           → …
        finish restore a       → discard a, discard b
        do discard a           → discard b
        do discard b           → taken back
        "
    ));
    assert_eq!(reason(&journal), "soak: broken");
}

#[test]
fn taken_back_while_one_host_switches() {
    two_hosts(&format!(
        "{TO_SWITCH}
        claim switch a                    → switch b
        claim switch b                    → …
        fail switch b                     → restore a, restore b
        do restore a, restore b           → …
        finish switch a                   → discard a, discard b
        do discard a, discard b           → taken back
        "
    ));
}

#[test]
fn failed_before_there_was_anything_to_take_back() {
    let journal = two_hosts(
        "
        accept       → build
        claim build  → …
        fail build   → failed
        ",
    );
    assert_eq!(reason(&journal), "build: broken");
    two_hosts(
        "
        accept         → build
        do build       → ship a, ship b
        claim ship a   → ship b
        claim ship b   → …
        fail ship a    → …
        finish ship b  → failed
        ",
    );
}

#[test]
fn aborted_before_anything_was_claimed() {
    let journal = two_hosts(
        "
        accept  → build
        abort   → aborted
        ",
    );
    assert_eq!(reason(&journal), "aborted by bea@desk");
}

#[test]
fn aborted_before_the_switch() {
    two_hosts(
        "
        accept                    → build
        do build, ship a, ship b  → boot a, boot b
        do boot a                 → boot b, probe a
        claim boot b              → probe a
        abort                     → …
        finish boot b             → discard a, discard b
        do discard a, discard b   → aborted
        ",
    );
}

#[test]
fn aborted_in_the_switch_restores_at_once_and_discards_when_nobody_is_at_it() {
    two_hosts(&format!(
        "{TO_SWITCH}
        do switch a      → switch b
        claim switch b   → …
        abort            → restore a, restore b
        do restore a     → restore b
        do restore b     → …
        fail switch b    → discard a, discard b
        do discard a     → discard b
        do discard b     → aborted
        "
    ));
}

#[test]
fn aborted_twice_is_aborted_once() {
    let journal = two_hosts(
        "
        accept       → build
        claim build  → …
        abort        → …
        abort        → …
        fail build   → aborted
        abort        → illegal decision: deployment 000001 has ended
        ",
    );
    assert_eq!(journal.service.history.len(), 1);
}

#[test]
fn an_abort_is_refused_once_the_old_replicas_may_be_gone() {
    two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b, soak  → retire a, retire b
        claim retire a               → retire b
        abort                        → illegal decision: deployment 000001 is past its soak and retires the old replicas: roll back once it has ended
        finish retire a              → retire b
        do retire b                  → live
        "
    ));
    two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b, soak  → retire a, retire b
        abort                        → restore a, restore b
        do restore a, restore b      → discard a, discard b
        do discard a, discard b      → aborted
        "
    ));
}

#[test]
fn a_replay_after_a_failed_probe_boots_again_and_ships_nothing() {
    let journal = two_hosts(
        "
        accept                    → build
        do build, ship a, ship b  → boot a, boot b
        do boot a, boot b         → probe a, probe b
        claim probe a             → probe b
        fail probe a              → discard a, discard b
        replay                    → illegal decision: deployment 000001 still runs
        do discard a, discard b   → taken back
        replay                    → boot a, boot b
        do boot a, boot b         → probe a, probe b
        do probe a, probe b       → switch a, switch b
        do switch a, switch b     → soak
        do soak                   → retire a, retire b
        do retire a, retire b     → live
        replay                    → illegal decision: deployment 000001 ended with its release live: there is nothing to replay
        ",
    );
    assert_eq!(journal.current().round, 2);
    assert_eq!(journal.service.history.len(), 2);
}

#[test]
fn a_replay_ships_only_where_it_failed_and_may_be_told_to_begin_earlier() {
    let failed = "
        accept                   → build
        do build, ship a         → ship b, boot a
        claim ship b             → boot a
        fail ship b              → failed
    ";
    two_hosts(&format!(
        "{failed}
        replay                   → ship b, boot a
        do ship b                → boot a, boot b
        "
    ));
    two_hosts(&format!(
        "{failed}
        replay from ship         → ship a, ship b
        "
    ));
    two_hosts(&format!(
        "{failed}
        replay from build        → build
        do build                 → ship a, ship b
        "
    ));
}

#[test]
fn rolled_back() {
    let mut journal = Journal::new();
    let through = "
        accept                                 → build
        do build, ship a, boot a, probe a      → switch a
        do switch a, soak                      → retire a
        do retire a                            → live
    ";
    play(&mut journal, &plan(1, &["a"]), through);
    play(&mut journal, &plan(2, &["a"]), through);
    play(
        &mut journal,
        &rollback(3, 1, &["a"]),
        "
        accept                       → ship a
        do ship a, boot a, probe a   → switch a
        do switch a, soak            → retire a
        do retire a                  → live
        ",
    );
    let kept: Vec<&str> = journal.service.kept.iter().map(|kept| kept.release.version.as_str()).collect();
    assert_eq!(kept, ["v1", "v2"]);
    assert_eq!(journal.service.live().unwrap().deployment, *journal.current().id());
}

#[test]
fn retried_with_growing_distance_until_it_is_given_up() {
    let journal = two_hosts(
        "
        accept         → build
        claim build    → …
        stumble build  → build in 500ms
        wait 500ms     → build
        claim build    → …
        stumble build  → build in 1s
        claim build    → …
        stumble build  → build in 2s
        claim build    → …
        stumble build  → failed
        ",
    );
    assert_eq!(reason(&journal), "build: not now");
}

#[test]
fn retried_and_then_well() {
    two_hosts(
        "
        accept         → build
        claim build    → …
        stumble build  → build in 500ms
        do build       → ship a, ship b
        ",
    );
}

#[test]
fn a_replay_gives_every_attempt_back() {
    two_hosts(
        "
        accept         → build
        claim build    → …
        stumble build  → build in 500ms
        claim build    → …
        fail build     → failed
        replay         → build
        claim build    → …
        stumble build  → build in 500ms
        claim build    → …
        stumble build  → build in 1s
        claim build    → …
        stumble build  → build in 2s
        do build       → ship a, ship b
        ",
    );
}

#[test]
fn degraded_when_a_host_can_not_be_restored() {
    let journal = two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b  → soak
        claim soak             → …
        fail soak              → restore a, restore b
        claim restore a        → restore b
        fail restore a         → restore b
        do restore b           → discard b
        do discard b           → degraded, not live
        "
    ));
    let owed: Vec<String> = journal.current().debts().iter().map(|(task, _)| name(task)).collect();
    assert_eq!(owed, ["restore a"]);
}

#[test]
fn what_a_host_owes_is_remembered_until_it_goes_all_the_way_or_is_forgiven() {
    let degraded = format!(
        "{TO_SWITCH}
        do switch a, switch b  → soak
        claim soak             → …
        fail soak              → restore a, restore b
        claim restore a        → restore b
        fail restore a         → restore b
        do restore b           → discard b
        do discard b           → degraded, not live
        "
    );
    let owed = |journal: &Journal| -> Vec<String> {
        journal.service.debts.iter().map(|debt| format!("{} {}", debt.stage, debt.host)).collect()
    };
    let forgive = |host: &str| Decision::Forgiven {
        deployment: plan(1, &["a"]).deployment,
        host: host.parse().unwrap(),
        by: "dora@desk".into(),
    };

    let mut journal = two_hosts(&degraded);
    assert_eq!(owed(&journal), ["restore a"]);
    let failing = "
        accept       → build
        claim build  → …
        fail build   → failed
        ";
    play(&mut journal, &plan(2, &["a", "b"]), failing);
    assert_eq!(owed(&journal), ["restore a"], "a deployment that never reached the host has paid nothing");
    let live = format!(
        "{TO_SWITCH}
        do switch a, switch b, soak  → retire a, retire b
        do retire a, retire b        → live
        "
    );
    play(&mut journal, &plan(3, &["a", "b"]), &live);
    assert!(owed(&journal).is_empty());
    assert!(journal.decide(forgive("a")).is_err(), "nothing is owed any more");

    let mut journal = two_hosts(&degraded);
    journal.decide(forgive("a")).unwrap();
    assert!(owed(&journal).is_empty());
    assert_eq!(journal.service.history.len(), 1, "forgiving is no end of a deployment");
    assert_eq!(journal.refold(), journal.service);
}

#[test]
fn what_went_live_after_all_is_never_taken_back_for_a_debt() {
    let mut journal = two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b        → soak
        claim soak                   → …
        fail soak                    → restore a, restore b
        claim restore a              → restore b
        fail restore a               → restore b
        do restore b                 → discard b
        do discard b                 → degraded, not live
        replay                       → boot a, boot b
        do boot a, boot b            → probe a, probe b
        do probe a, probe b          → switch a, switch b
        do switch a, switch b, soak  → retire a, retire b
        do retire b                  → retire a
        claim retire a               → …
        fail retire a                → degraded, live
        "
    ));
    let owed = |journal: &Journal| -> Vec<String> {
        journal.service.debts.iter().map(|debt| format!("{} {}", debt.stage, debt.host)).collect()
    };
    assert_eq!(owed(&journal), ["retire a"]);
    play(
        &mut journal,
        &plan(2, &["a", "b"]),
        &format!(
            "{TO_SWITCH}
            do switch a              → switch b
            claim switch b           → …
            fail switch b            → restore a, restore b
            do restore a, restore b  → discard a, discard b
            do discard a, discard b  → taken back
            "
        ),
    );
    assert_eq!(owed(&journal), ["retire a"], "nothing but a retire removes the old replicas");
}

#[test]
fn what_is_owed_is_paid_by_a_switch_or_by_the_restore_itself() {
    let degraded = format!(
        "{TO_SWITCH}
        do switch a              → switch b
        abort                    → restore a
        claim restore a          → …
        fail restore a           → discard b
        do discard b             → degraded, not live
        "
    );
    let aborted = |before: &str, after: &str| format!("{TO_SWITCH}\n{before}\nabort {after}");
    let mut journal = two_hosts(&degraded);
    play(
        &mut journal,
        &plan(2, &["a", "b"]),
        &aborted("", "→ discard a, discard b\ndo discard a, discard b → aborted"),
    );
    assert_eq!(journal.service.debts.len(), 1);
    let switched = "do switch a → switch b";
    let back = "→ restore a\ndo restore a → discard a, discard b\ndo discard a, discard b → aborted";
    play(&mut journal, &plan(3, &["a", "b"]), &aborted(switched, back));
    assert!(journal.service.debts.is_empty());
}

#[test]
fn degraded_when_a_host_can_not_be_cleaned() {
    let journal = two_hosts(
        "
        accept                            → build
        do build, ship a, ship b, boot a  → boot b, probe a
        abort                             → discard a
        claim discard a                   → …
        fail discard a                    → degraded, not live
        ",
    );
    let owed: Vec<String> = journal.current().debts().iter().map(|(task, _)| name(task)).collect();
    assert_eq!(owed, ["discard a"]);
}

#[test]
fn degraded_but_live_when_the_old_replicas_can_not_be_retired() {
    let journal = two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b, soak  → retire a, retire b
        claim retire a               → retire b
        fail retire a                → retire b
        do retire b                  → degraded, live
        "
    ));
    assert_eq!(journal.service.live().unwrap().release.version, "v1");
    let owed: Vec<String> = journal.current().debts().iter().map(|(task, _)| name(task)).collect();
    assert_eq!(owed, ["retire a"]);
}

#[test]
fn a_second_deployment_is_refused_while_one_runs() {
    let mut journal = two_hosts(
        "
        accept       → build
        claim build  → …
        ",
    );
    play(
        &mut journal,
        &plan(2, &["a"]),
        "
        accept  → illegal decision: deployment 000001 of production/hello runs, asked for by ada@desk
        abort   → …
        accept  → illegal decision: deployment 000001 of production/hello runs, asked for by ada@desk
        ",
    );
    play(&mut journal, &plan(1, &["a", "b"]), "fail build → aborted");
    play(&mut journal, &plan(2, &["a"]), "accept → build");
}

#[test]
fn what_failed_first_is_the_reason_whatever_fails_after_it() {
    let journal = two_hosts(
        "
        accept            → build
        do build, ship a  → ship b, boot a
        claim ship b      → boot a
        do boot a         → probe a
        claim probe a     → …
        fail probe a      → …
        fail ship b       → discard a
        do discard a      → taken back
        ",
    );
    assert_eq!(reason(&journal), "probe on a: broken");
}
