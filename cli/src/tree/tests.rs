use cutover_core::{Decision, Failure, Hazard, HeldLock, Output, Program, Progress, Rehearsed, Span, Stage};

use super::*;
use crate::fixture::{Transcript, output, release, task};

/// The tree at 80 columns, without colours and without spaces at the ends of lines.
fn drawn(transcript: &Transcript, missing: &[Program]) -> String {
    let tree = Tree::of(&transcript.service, transcript.now(), missing).unwrap();
    let lines = render(&tree, &Look { width: 80, colour: false, frame: 0 });
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let text: String = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect();
    text.replace(release("v2").id().as_str(), "0123456789ab")
}

fn crash() -> Failure {
    Failure::lasting(
        "replica hello-1 exited with code 3 before it was ready, 0.1 s after its start on 198.18.0.2",
    )
    .hint("see its last lines below; DATABASE_URL may be missing")
    .tail(vec!["\u{1b}[31mFATAL\u{1b}[0m: no database".to_owned(), format!("\tat {}", "x".repeat(200))])
}

#[test]
fn waiting_for_a_program_that_nobody_runs() {
    let transcript = Transcript::deploying_v2(1).wait(5_000);
    assert_eq!(
        drawn(&transcript, &[Program::Builder]),
        "\
hello → production   v2 (release 0123456789ab)
deployment 0k3x9p by anna@laptop, 5.0 s

  · build                        waits: no builder is running
  · ship
  · expand
  · boot
  · probe
  · switch
  · soak
  · retire
"
    );
}

#[test]
fn what_is_sent_for_a_while_has_a_time_left() {
    let running = task(Stage::Ship, 0);
    let transcript = Transcript::deploying_v2(1)
        .done(Stage::Build, 1_200)
        .claim(&running)
        .wait(6_000)
        .progress(&running, Progress::Bytes { done: 30_000_000, total: 40_000_000 });
    let drawn = drawn(&transcript, &[]);
    assert!(drawn.contains("30.0 MB of 40.0 MB, 2.0 s left"), "{drawn}");
}

#[test]
fn running_on_two_hosts() {
    let (done, running) = (task(Stage::Ship, 0), task(Stage::Ship, 1));
    let transcript = Transcript::deploying_v2(2)
        .done(Stage::Build, 1_200)
        .claim(&done)
        .claim(&running)
        .wait(300)
        .finish(&done, output(Stage::Ship))
        .progress(&running, Progress::Bytes { done: 1_000_000, total: 20_000_000 })
        .wait(200);
    assert_eq!(
        drawn(&transcript, &[]),
        "\
hello → production   v2 (release 0123456789ab)
deployment 0k3x9p by anna@laptop, 1.7 s

  ✓ build                1.2 s   image 6105d6cc76af, 84.0 MB
  ◐ ship                 0.5 s   1 of 2 hosts
    ✓ 198.18.0.2         0.3 s   3.1 MB sent
    ◐ 198.18.0.3         0.5 s   1.0 MB of 20.0 MB
  · expand
  · boot
  · probe
  · switch
  · soak
  · retire
"
    );
}

#[test]
fn an_attempt_that_is_made_again() {
    let ship = task(Stage::Ship, 0);
    let lost = Failure::passing("the connection to root@198.18.0.2:22 was lost during the pull");
    let transcript = Transcript::deploying_v2(1)
        .done(Stage::Build, 1_200)
        .claim(&ship)
        .wait(100)
        .fail(&ship, lost)
        .wait(100);
    assert_eq!(
        drawn(&transcript, &[]).lines().skip(3).take(3).collect::<Vec<_>>(),
        [
            "  ✓ build                1.2 s   image 6105d6cc76af, 84.0 MB",
            "  ↻ ship                 0.1 s   198.18.0.2: attempt 2 of 4 follows",
            "        the connection to root@198.18.0.2:22 was lost during the pull",
        ]
    );
    let transcript = transcript.wait(900).claim(&ship).wait(50);
    assert!(drawn(&transcript, &[]).contains("  ◐ ship                 1.1 s   198.18.0.2: attempt 2\n"));
}

#[test]
fn soaking() {
    let transcript = Transcript::deploying_v2(1)
        .through(Stage::Build, Stage::Switch)
        .claim(&task(Stage::Soak, 0))
        .wait(4_000);
    assert_eq!(
        drawn(&transcript, &[]),
        "\
hello → production   v2 (release 0123456789ab)
deployment 0k3x9p by anna@laptop, 6.4 s

  ✓ build                0.4 s   image 6105d6cc76af, 84.0 MB
  ✓ ship                 0.4 s   3.1 MB sent
  ✓ expand               0.4 s   applied 1
  ✓ boot                 0.4 s   1 replica
  ✓ probe                0.4 s   ready after 3 probes
  ✓ switch               0.4 s   traffic old → new
  ◐ soak                 4.0 s   4.0 s of 10 s
  · retire
"
    );
}

#[test]
fn failed_before_anything_was_there_to_take_back() {
    let build = task(Stage::Build, 0);
    let failure = Failure::lasting("the build of Dockerfile failed at step 3")
        .tail(vec!["bundle: not found".to_owned()]);
    let transcript = Transcript::deploying_v2(1).claim(&build).wait(700).fail(&build, failure).wait(60_000);
    assert_eq!(
        drawn(&transcript, &[]),
        "\
hello → production   v2 (release 0123456789ab)
deployment 0k3x9p by anna@laptop, 0.7 s

  ✗ build                0.7 s
        the build of Dockerfile failed at step 3
        │ bundle: not found
  · ship
  · expand
  · boot
  · probe
  · switch
  · soak
  · retire

failed: hello v1 still serves; it was never touched
  once mended: cutover replay; if code, file or secret changed: cutover deploy
"
    );
}

#[test]
fn taken_back_after_one_of_two_replicas_crashed() {
    let (good, bad) = (task(Stage::Probe, 1), task(Stage::Probe, 0));
    let transcript = Transcript::deploying_v2(2)
        .through(Stage::Build, Stage::Boot)
        .claim(&bad)
        .claim(&good)
        .wait(100)
        .finish(&good, output(Stage::Probe))
        .fail(&bad, crash())
        .done(Stage::Discard, 200);
    let long = format!("        │     at {}", "x".repeat(63));
    assert_eq!(
        drawn(&transcript, &[]),
        format!(
            "\
hello → production   v2 (release 0123456789ab)
deployment 0k3x9p by anna@laptop, 1.9 s

  ✓ build                0.4 s   image 6105d6cc76af, 84.0 MB
  ✓ ship                 0.4 s   6.2 MB sent, 2 hosts
  ✓ expand               0.4 s   applied 1
  ✓ boot                 0.4 s   2 replicas, 2 hosts
  ✗ probe                0.1 s   1 of 2 hosts
    ✗ 198.18.0.2         0.1 s
        replica hello-1 exited with code 3 before it was ready, 0.1 s after its
        start on 198.18.0.2
        hint: see its last lines below; DATABASE_URL may be missing
        │ FATAL: no database
{long}
    ✓ 198.18.0.3         0.1 s   ready after 3 probes
  · switch
  · soak
  · retire
  ↩ discard              0.2 s   2 new replicas removed, 2 hosts

taken back: hello v1 still serves; nothing of v2 is left
  once mended: cutover replay; if code, file or secret changed: cutover deploy
"
        )
    );
}

#[test]
fn aborted() {
    let boot = task(Stage::Boot, 0);
    let transcript = Transcript::deploying_v2(1)
        .through(Stage::Build, Stage::Expand)
        .claim(&boot)
        .wait(400)
        .finish(&boot, output(Stage::Boot));
    let deployment = transcript.deployment();
    let transcript = transcript
        .decide(Decision::Aborted { deployment, by: "ben@desk".to_owned() })
        .done(Stage::Discard, 100);
    let text = drawn(&transcript, &[]);
    assert!(text.contains("deployment 0k3x9p by anna@laptop, 1.7 s, aborted by ben@desk\n"), "{text}");
    assert!(text.contains("  ↩ discard              0.1 s   1 new replica removed\n"), "{text}");
    assert!(text.ends_with("\naborted: hello v1 still serves\n"), "{text}");
}

#[test]
fn degraded_when_a_host_owes_something() {
    let (good, bad) = (task(Stage::Retire, 0), task(Stage::Retire, 1));
    let transcript = Transcript::deploying_v2(2)
        .through(Stage::Build, Stage::Soak)
        .claim(&good)
        .claim(&bad)
        .wait(300)
        .finish(&good, output(Stage::Retire))
        .fail(&bad, Failure::lasting("cannot reach root@198.18.0.3:22: connection refused"));
    let text = drawn(&transcript, &[]);
    let end = "
degraded: hello v2 is live, but not all is done
  host 198.18.0.3 owes retire: cannot reach root@198.18.0.3:22: connection
  refused
  it is tried again until it is done; if the host is gone: cutover hosts forget
  HOST
";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn live() {
    let transcript = Transcript::deploying_v2(2).through(Stage::Build, Stage::Retire).wait(1_000_000);
    let text = drawn(&transcript, &[]);
    assert!(text.contains("  ✓ soak                 0.4 s   5012 requests, 1 server error\n"), "{text}");
    assert!(text.contains("  ✓ retire               0.4 s   2 old replicas stopped, 2 hosts\n"), "{text}");
    assert!(text.ends_with("\nlive: hello v2 on 2 hosts in 3.2 s\n"), "{text}");
}

#[test]
fn a_replay_begins_a_new_round() {
    let build = task(Stage::Build, 0);
    let transcript =
        Transcript::deploying_v2(1).claim(&build).wait(700).fail(&build, Failure::lasting("no")).wait(60_000);
    let deployment = transcript.deployment();
    let transcript = transcript
        .decide(Decision::Replayed { deployment, by: "anna@laptop".to_owned(), from: None })
        .wait(100);
    let text = drawn(&transcript, &[]);
    assert!(text.contains("deployment 0k3x9p by anna@laptop, 0.1 s, round 2\n"), "{text}");
    assert!(!text.contains('✗'), "{text}");
}

#[test]
fn colours_stay_outside_of_the_width() {
    let transcript = Transcript::deploying_v2(2).through(Stage::Build, Stage::Retire);
    let tree = Tree::of(&transcript.service, transcript.now(), &[]).unwrap();
    let plain = render(&tree, &Look { width: 30, colour: false, frame: 0 });
    let painted = render(&tree, &Look { width: 30, colour: true, frame: 0 });
    assert!(painted.iter().any(|line| line.contains("\u{1b}[32m✓\u{1b}[0m")));
    assert_eq!(painted.iter().map(|line| printable(line)).collect::<Vec<_>>(), plain);
}

#[test]
fn nothing_that_a_container_writes_steers_the_terminal() {
    assert_eq!(printable("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\rd\te"), "ab0;titlecd    e");
}

#[test]
fn outputs_of_nothing_are_said_as_such() {
    assert_eq!(facts::output(&Output::Shipped { sent: 0 }), "nothing to send");
    assert_eq!(
        facts::output(&Output::Expanded { applied: Vec::new(), rehearsed: Vec::new() }),
        "all migrations are applied"
    );
    assert_eq!(facts::output(&Output::Switched { previous: None }), "first traffic");
}

#[test]
fn of_a_rehearsal_the_longest_lock_is_told() {
    let part = |migration: &str, took, rows, locks: &[(&str, u64)]| Rehearsed {
        migration: migration.to_owned(),
        took: Span::millis(took),
        rows,
        locks: locks
            .iter()
            .map(|(table, held)| HeldLock {
                table: (*table).to_owned(),
                mode: "AccessExclusiveLock".to_owned(),
                held: Span::millis(*held),
            })
            .collect(),
        hazards: Vec::new(),
    };
    let rehearsed = vec![
        part("2_split.expand", 300, 0, &[("people", 40), ("places", 20)]),
        part("2_split.backfill", 2_000, 20_000, &[]),
    ];
    assert_eq!(
        facts::output(&Output::Expanded { applied: vec!["2".to_owned()], rehearsed }),
        "applied 2; rehearsed before: 2 parts in 2.3 s, 20000 rows, AccessExclusiveLock of people for 40ms at most"
    );
    let rehearsed = vec![part("3_new", 300, 0, &[])];
    assert_eq!(
        facts::output(&Output::Expanded { applied: vec!["3".to_owned()], rehearsed }),
        "applied 3; rehearsed before: 1 part in 0.3 s, 0 rows"
    );
    let hazard =
        |rule: &str| Hazard { rule: rule.to_owned(), sql: "CREATE INDEX a ON people (name)".to_owned() };
    let hazards = ["index", "drop-column", "index"].map(hazard).to_vec();
    let rehearsed = vec![Rehearsed { hazards, ..part("4_index", 300, 0, &[]) }];
    assert_eq!(
        facts::output(&Output::Expanded { applied: vec!["4".to_owned()], rehearsed }),
        "applied 4; rehearsed before: 1 part in 0.3 s, 0 rows, dangerous: drop-column, index"
    );
}
