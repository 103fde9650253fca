//! A share of the traffic first: it comes before every switch, it is taken back with it, and people end its holds.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use cutover_core::{
    CanaryStep, Decision, Fact, Failure, Hold, Illegal, Plan, Progress, Refused, Span, Stage,
};
use journal::{Journal, TO_SWITCH, plan, play, task};

/// A deployment to two hosts in two steps.
fn stepped(number: u8) -> Plan {
    let mut plan = plan(number, &["a", "b"]);
    let step = |weight, hold| CanaryStep { weight, mirror: 0, hold };
    plan.release.settings.canary.steps =
        vec![step(50, Hold::For(Span::seconds(60))), step(250, Hold::Promoted)];
    plan.stages = Plan::stages_for(&plan.release, None);
    plan
}

/// The way to the canary.
const TO_CANARY: &str = "
    accept                             → build
    do build, ship a, ship b           → boot a, boot b
    do boot a, boot b                  → probe a, probe b
    do probe a                         → probe b
    do probe b                         → canary
";

fn promote(journal: &mut Journal, step: Option<u32>) -> Result<(), Illegal> {
    let deployment = journal.current().id().clone();
    journal.decide(Decision::Promoted { deployment, by: "eva@desk".into(), step }).map(drop)
}

#[test]
fn it_comes_once_every_host_is_ready_and_before_any_switches() {
    let mut journal = Journal::new();
    play(
        &mut journal,
        &stepped(1),
        &format!(
            "{TO_CANARY}
            claim canary                 → …
            finish canary                → switch a, switch b
            do switch a, switch b, soak  → retire a, retire b
            do retire a, retire b        → live"
        ),
    );
}

#[test]
fn what_has_a_share_is_taken_back_on_every_host() {
    for ending in ["fail canary", "abort"] {
        let mut journal = Journal::new();
        play(
            &mut journal,
            &stepped(1),
            &format!("{TO_CANARY}\nclaim canary → …\n{ending} → restore a, restore b"),
        );
    }
    let mut journal = Journal::new();
    play(
        &mut journal,
        &stepped(1),
        &format!(
            "{TO_CANARY}
            claim canary   → …
            fail canary    → restore a, restore b
            do restore a   → restore b
            do restore b   → discard a, discard b"
        ),
    );
}

#[test]
fn nobody_restores_what_never_had_a_share() {
    let mut journal = Journal::new();
    play(&mut journal, &stepped(1), &format!("{TO_CANARY}\nabort → discard a, discard b"));
}

#[test]
fn a_worker_that_takes_it_over_goes_on_from_its_step() {
    let mut journal = Journal::new();
    play(&mut journal, &stepped(1), TO_CANARY);
    let canary = task("canary");
    let hint = journal.hint();
    let claim = journal.claim_as(&canary, journal.service.last_decision, hint);
    let reached = Progress::Canary { step: 1, text: "25 %".into() };
    journal.fact(&canary, Fact::Progressed { claim, progress: reached }).unwrap();
    journal.claim_as(&canary, journal.service.last_decision, hint);
    assert_eq!(journal.current().state(&canary).reached, Some(1));
    // Nor does an attempt that failed lose it; another round does.
    let claim = journal.claim(&canary);
    journal.fail(&canary, claim, Failure::passing("for a moment")).unwrap();
    assert_eq!(journal.current().state(&canary).reached, Some(1));
}

#[test]
fn people_promote_what_holds_or_will_and_nothing_else() {
    let refused = |illegal: Illegal| matches!(illegal, Illegal::Decision(Refused::NothingToPromote(_)));
    let mut journal = Journal::new();
    play(&mut journal, &stepped(1), TO_CANARY);
    assert!(refused(promote(&mut journal, Some(0)).unwrap_err()), "it holds no step yet");
    let claim = journal.claim(&task("canary"));
    let reached = Progress::Canary { step: 1, text: String::new() };
    journal.fact(&task("canary"), Fact::Progressed { claim, progress: reached }).unwrap();
    assert!(refused(promote(&mut journal, Some(0)).unwrap_err()), "that is over");
    promote(&mut journal, Some(1)).unwrap();
    assert!(journal.current().holds(&task("canary"), claim), "whoever holds it goes on holding it");
    promote(&mut journal, None).unwrap();
    let promotions: Vec<_> = journal.current().promotions.iter().map(|promotion| promotion.step).collect();
    assert_eq!(promotions, [Some(1), None]);
    assert_eq!(journal.refold(), journal.service);

    journal.finish(&task("canary"), claim).unwrap();
    assert!(refused(promote(&mut journal, None).unwrap_err()), "it has ended");
    journal.abort().unwrap();
    assert!(refused(promote(&mut journal, None).unwrap_err()), "it is taken back");

    let mut journal = Journal::new();
    play(&mut journal, &plan(1, &["a"]), "accept → build");
    assert!(refused(promote(&mut journal, None).unwrap_err()), "it has none");
}

#[test]
fn another_round_needs_promotions_of_its_own() {
    let mut journal = Journal::new();
    play(&mut journal, &stepped(1), &format!("{TO_CANARY}\nclaim canary → …"));
    promote(&mut journal, None).unwrap();
    play(
        &mut journal,
        &stepped(1),
        "
        fail canary                  → restore a, restore b
        do restore a, restore b      → discard a, discard b
        do discard a, discard b      → taken back
        replay                       → boot a, boot b
        ",
    );
    assert!(journal.current().promotions.is_empty());
}

#[test]
fn a_release_without_steps_has_none() {
    assert!(!plan(1, &["a"]).stages.contains(&Stage::Canary));
    assert!(stepped(1).stages.contains(&Stage::Canary) && Plan::protocol_for(&stepped(1).release) == 6);
    let mut journal = Journal::new();
    play(&mut journal, &plan(1, &["a", "b"]), TO_SWITCH);
}
