//! Transcripts of deployments: what happens, and after each event the tasks that are due, or how it ended. `…` stands for
//! nothing due while workers are at it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use journal::{Journal, TO_SWITCH, plan, play, rollback, two_hosts};

/// What `history` says of the last deployment that ended.
fn reason(journal: &Journal) -> &str {
    journal.service.history.first().and_then(|ended| ended.reason.as_deref()).unwrap_or_default()
}

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
