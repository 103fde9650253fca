//! A share of the traffic first: it comes before every switch, it is taken back with it, and people end its holds.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use std::time::Duration;

use cutover_core::{
    CanaryRecord, CanaryStep, Decision, Fact, Failure, Hold, Illegal, Plan, Progress, Refused, Span, Stage,
};
use cutover_verdict::{Counts, Moment, Observed, Outcome, Terms, Window};
use journal::{Journal, TO_SWITCH, plan, play, task};

/// A deployment to two hosts in two steps.
fn stepped(number: u8) -> Plan {
    let mut plan = plan(number, &["a", "b"]);
    let step = |weight, hold| CanaryStep { weight, mirror: 0, hosts: None, hold };
    plan.release.settings.canary.steps =
        vec![step(50, Hold::For(Span::seconds(60))), step(250, Hold::Promoted)];
    plan.stages = Plan::stages_for(&plan.release, None, &cutover_core::SidecarImages::new());
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
    let reached = Progress::Canary { step: 1, text: "25 %".into(), seen: None };
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
    let reached = Progress::Canary { step: 1, text: String::new(), seen: None };
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

#[test]
fn what_a_canary_was_judged_by_is_in_its_entries_and_nowhere_else() {
    let window = |second: u64, failed: u64| Window {
        from: Duration::from_secs(second),
        to: Duration::from_secs(second + 1),
        new: Counts::new(10, failed, []),
        old: Counts::new(90, 0, []),
        ..Window::default()
    };
    let seen = |windows: Vec<Window>, elapsed| {
        let moment = Moment {
            elapsed: Duration::from_secs(elapsed),
            hold: Duration::from_secs(60),
            ..Moment::default()
        };
        Some(Box::new(Observed { windows, moment, ..Observed::default() }))
    };
    let mut journal = Journal::new();
    play(&mut journal, &stepped(1), TO_CANARY);
    let canary = task("canary");
    let claim = journal.claim(&canary);
    let mut progress = |step, seen| {
        let progress = Progress::Canary { step, text: "5 %".into(), seen };
        journal.fact(&canary, Fact::Progressed { claim, progress }).unwrap();
    };
    progress(0, None);
    progress(0, seen(vec![window(0, 0), window(1, 0)], 2));
    // The answer to this one was lost, so it came once more, with what had come since.
    progress(0, seen(vec![window(2, 0)], 3));
    progress(0, seen(vec![window(2, 0), window(3, 0)], 4));
    progress(1, seen(vec![window(4, 9), window(5, 10), window(6, 10)], 3));
    journal.fail(&canary, claim, Failure::lasting("it is judged")).unwrap();

    let state = serde_json::to_string(&journal.service).unwrap();
    assert!(!state.contains("windows"), "{state}");
    let id = journal.current().id().clone();
    let record = CanaryRecord::of(&id, &journal.entries).unwrap();
    let [attempt] = record.attempts.as_slice() else { panic!("{record:?}") };
    let counted: Vec<_> = attempt.parts.iter().map(|part| (part.step, part.observed.windows.len())).collect();
    assert_eq!((attempt.claim, counted), (claim, vec![(0, 4), (1, 3)]));
    assert_eq!(attempt.failure.as_deref(), Some("it is judged"));
    let outcomes: Vec<_> =
        attempt.judged(&Terms::default()).map(|(step, verdict)| (step, verdict.outcome)).collect();
    assert_eq!(outcomes, [(0, Outcome::Inconclusive), (1, Outcome::Fail)]);
    assert!(CanaryRecord::of(&plan(9, &["a"]).deployment, &journal.entries).is_none());
}
