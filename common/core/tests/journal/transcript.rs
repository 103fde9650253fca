//! The player of transcripts.

use cutover_core::{Applied, DeploymentId, Failure, Illegal, Plan, Task};

use super::{Journal, id, plan, task};

/// The way to the switch on both hosts, for transcripts that are about what comes after it.
pub const TO_SWITCH: &str = "
    accept                             → build
    do build, ship a, ship b           → boot a, boot b
    do boot a, boot b                  → probe a, probe b
    do probe a, probe b                → switch a, switch b
";

/// The way to the retire on both hosts.
pub const TO_RETIRE: &str = "
    accept                                           → build
    do build, ship a, ship b, boot a, boot b         → probe a, probe b
    do probe a, probe b, switch a, switch b, soak    → retire a, retire b
";

/// Plays the transcript of one deployment to two hosts, `a` and `b`.
pub fn two_hosts(transcript: &str) -> Journal {
    let mut journal = Journal::new();
    next(&mut journal, 1, transcript);
    journal
}

/// Plays the transcript of another.
pub fn next(journal: &mut Journal, number: u8, transcript: &str) {
    play(journal, &plan(number, &["a", "b"]), transcript);
}

/// A deployment that was taken back, but for one host.
pub fn unrestored() -> Journal {
    two_hosts(&format!(
        "{TO_SWITCH}
        do switch a, switch b  → soak
        claim soak             → …
        fail soak              → restore a, restore b
        claim restore a        → restore b
        fail restore a         → restore b
        do restore b           → discard b
        do discard b           → degraded, not live; owed: restore a in 5s
        "
    ))
}

/// Plays a transcript and compares each line with what is written behind the arrow.
///
/// | event | |
/// |---|---|
/// | `accept` | the deployment of the plan is accepted |
/// | `abort`, `replay`, `replay from STAGE`, `forgive HOST` | the other decisions |
/// | `claim TASK`, `finish TASK` | by a worker that has seen everything |
/// | `fail TASK`, `stumble TASK` | for good, or so that another attempt may go better |
/// | `do TASK, TASK` | each is claimed and finished |
/// | `wait 2s` | time passes |
///
/// A task is of the deployment that runs, else of the one that owes it, else of the last one; `TASK of 2` is of the second.
pub fn play(journal: &mut Journal, next: &Plan, transcript: &str) {
    let mut played = String::new();
    let mut expected = String::new();
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, stands) = line.split_once('→').unwrap_or_else(|| panic!("no → in '{line}'"));
        let (event, stands) = (event.trim(), stands.trim());
        let refused = happen(journal, next, event).err().map(|illegal| illegal.to_string());
        played.push_str(&format!("{event} → {}\n", refused.unwrap_or_else(|| journal.stands())));
        expected.push_str(&format!("{event} → {stands}\n"));
        let snapshot = serde_json::to_vec(&journal.service).unwrap();
        assert_eq!(serde_json::from_slice::<cutover_core::Service>(&snapshot).unwrap(), journal.service);
    }
    assert_eq!(played, expected, "\nplayed:\n{played}\nexpected:\n{expected}");
    assert_eq!(journal.refold(), journal.service);
}

fn happen(journal: &mut Journal, next: &Plan, event: &str) -> Result<Applied, Illegal> {
    let (verb, rest) = event.split_once(' ').unwrap_or((event, ""));
    let in_force = |journal: &Journal, (id, task): &(DeploymentId, Task)| {
        let state = journal.service.state(id, task);
        (id.clone(), task.clone(), state.in_force)
    };
    match verb {
        "accept" => journal.accept(next),
        "abort" => journal.abort(),
        "replay" => journal.replay(rest.strip_prefix("from ").map(|stage| stage.parse().unwrap())),
        "forgive" => journal.forgive(rest),
        "wait" => {
            journal.now = journal.now.after(humantime::parse_duration(rest).unwrap());
            Ok(Applied::Nothing)
        }
        "do" => {
            for text in rest.split(", ") {
                let (id, task) = whose(journal, text);
                let claim = journal.claim_of(&id, &task);
                journal.finish_of(&id, &task, claim)?;
            }
            Ok(Applied::Changed)
        }
        "claim" => {
            let (id, task) = whose(journal, rest);
            journal.claim_of(&id, &task);
            Ok(Applied::Changed)
        }
        "finish" => {
            let (id, task, claim) = in_force(journal, &whose(journal, rest));
            journal.finish_of(&id, &task, claim)
        }
        "fail" | "stumble" => {
            let (id, task, claim) = in_force(journal, &whose(journal, rest));
            let failure =
                if verb == "fail" { Failure::lasting("broken") } else { Failure::passing("not now") };
            journal.fact_of(&id, &task, cutover_core::Fact::Failed { claim, failure })
        }
        _ => panic!("'{event}' is no event"),
    }
}

fn whose(journal: &Journal, text: &str) -> (DeploymentId, Task) {
    match text.split_once(" of ") {
        Some((text, number)) => (id(number.parse().unwrap()), task(text)),
        None => (journal.owner(&task(text)), task(text)),
    }
}
