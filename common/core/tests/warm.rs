//! Old replicas that are kept warm: they stop at their time, or get the traffic back, or make room for the next ones.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use cutover_core::{DeploymentId, KeptRelease, Permission, Plan, Span};
use journal::{Journal, host_name, id, keeping_warm, plan, play, task, warm_rollback};

/// A deployment to two hosts that keeps what it replaces warm for ten minutes.
fn warm(number: u8) -> Plan {
    keeping_warm(plan(number, &["a", "b"]), Span::seconds(600))
}

/// The way of a deployment to its last host.
const TO_RETIRE: &str = "
    accept                             → build
    do build, ship a, ship b           → boot a, boot b
    do boot a, boot b                  → probe a, probe b
    do probe a, probe b                → switch a, switch b
    do switch a, switch b, soak        → retire a, retire b
    do retire a                        → retire b
";

/// Two deployments: `v2` is live, and `v1` is warm.
fn two_live() -> Journal {
    let mut journal = Journal::new();
    play(&mut journal, &warm(1), &format!("{TO_RETIRE}\ndo retire b → live"));
    let owed = "live; owed: cool a in 10m, cool b in 10m";
    play(&mut journal, &warm(2), &format!("{TO_RETIRE}\ndo retire b → {owed}"));
    journal
}

fn kept<'a>(journal: &'a Journal, version: &str) -> &'a KeptRelease {
    journal.service.kept.iter().find(|kept| kept.release.version == version).unwrap()
}

fn is_warm(journal: &Journal, version: &str) -> bool {
    journal.service.warm_until(kept(journal, version)).is_some()
}

/// The rollback to `v1` as the third deployment.
fn back(journal: &Journal) -> Plan {
    warm_rollback(3, kept(journal, "v1"))
}

fn spared(journal: &Journal) -> Vec<DeploymentId> {
    journal.service.spared(journal.current()).into_iter().cloned().collect()
}

fn in_use(journal: &Journal) -> Vec<DeploymentId> {
    journal.service.in_use().into_iter().cloned().collect()
}

#[test]
fn cooled_at_its_time() {
    let mut journal = two_live();
    assert!(is_warm(&journal, "v1"));
    let until = journal.service.warm_until(kept(&journal, "v1"));
    assert_eq!(until, Some(journal.now.after(std::time::Duration::from_secs(600))));
    play(
        &mut journal,
        &warm(3),
        "
        wait 9m        → live; owed: cool a in 1m, cool b in 1m
        wait 1m        → live; owed: cool a, cool b
        claim cool a   → live; owed: cool b
        do cool b      → live; owed: …
        finish cool a  → live
        ",
    );
    assert!(!is_warm(&journal, "v1"));
    assert_eq!(journal.service.history.len(), 2, "to pay is no end of a deployment");
}

#[test]
fn the_next_deployment_drops_what_is_warm_and_keeps_what_it_replaces() {
    let mut journal = two_live();
    play(&mut journal, &warm(3), TO_RETIRE);
    assert_eq!(spared(&journal), [id(2)], "a retire leaves running what it replaces, and nothing else");
    assert_eq!(in_use(&journal), [id(2), id(1)], "and a boot leaves alone what would be warm again");
    play(&mut journal, &warm(3), "do retire b → live; owed: cool a in 10m, cool b in 10m");
    assert!(is_warm(&journal, "v2") && !is_warm(&journal, "v1"));
    assert!(journal.service.obligations.iter().all(|owed| owed.deployment == id(3)));
    // One that keeps nothing warm leaves nothing to be cooled.
    let cold = plan(4, &["a", "b"]);
    play(&mut journal, &cold, TO_RETIRE);
    assert_eq!(spared(&journal), []);
    play(&mut journal, &cold, "do retire b → live");
    assert_eq!(in_use(&journal), [id(4)]);
}

#[test]
fn a_deployment_that_fails_leaves_warm_what_was() {
    let mut journal = two_live();
    let kept = journal.service.kept.clone();
    play(
        &mut journal,
        &warm(3),
        "
        accept       → build
        claim build  → …
        wait 10m     → …
        fail build   → failed; owed: cool a of 2, cool b of 2
        ",
    );
    assert_eq!(journal.service.kept, kept);
    assert!(is_warm(&journal, "v1"), "nobody has begun to stop it");
}

#[test]
fn the_same_release_again_keeps_nothing_warm() {
    let mut journal = two_live();
    let again = Plan { release: kept(&journal, "v2").release.clone(), ..warm(3) };
    play(&mut journal, &again, &format!("{TO_RETIRE}\ndo retire b → live"));
    assert_eq!(in_use(&journal), [id(3)]);
}

#[test]
fn a_release_that_retains_no_other_keeps_none_warm() {
    let mut journal = two_live();
    let mut alone = warm(3);
    alone.release.settings.retain = 0;
    play(&mut journal, &alone, TO_RETIRE);
    assert_eq!(spared(&journal), []);
    play(&mut journal, &alone, "do retire b → live");
}

#[test]
fn back_to_what_is_warm_and_forth_again() {
    let mut journal = two_live();
    let through = "
        accept                   → probe a, probe b
        do probe a, probe b      → switch a, switch b
        do switch a, switch b    → retire a, retire b
        do retire a              → retire b
    ";
    let plan = back(&journal);
    play(&mut journal, &plan, through);
    assert_eq!(spared(&journal), [id(2)]);
    let replicas: Vec<&str> =
        journal.current().replicas(&host_name("a")).iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(replicas, ["hello-1"], "its traffic goes to what the first deployment booted");
    play(&mut journal, &plan, "do retire b → live; owed: cool a in 10m, cool b in 10m");
    let live = journal.service.live().unwrap().clone();
    assert_eq!((&live.deployment, live.booted_by()), (&id(3), &id(1)));
    assert_eq!(journal.service.kept.len(), 2);
    assert!(is_warm(&journal, "v2") && !is_warm(&journal, "v1"));
    assert_eq!(in_use(&journal), [id(1), id(2)]);

    let plan = warm_rollback(4, kept(&journal, "v2"));
    play(&mut journal, &plan, &format!("{through}\ndo retire b → live; owed: cool a in 10m, cool b in 10m"));
    let live = journal.service.live().unwrap();
    assert_eq!((&live.deployment, live.booted_by()), (&id(4), &id(2)));
    let warm = kept(&journal, "v1");
    assert_eq!((&warm.deployment, warm.booted_by()), (&id(3), &id(1)));
    assert!(is_warm(&journal, "v1"));
}

#[test]
fn no_way_back_to_what_is_not_warm_any_more() {
    let mut journal = two_live();
    let plan = back(&journal);
    let refused =
        format!("illegal decision: the replicas of release {} are not warm any more", plan.release.id());
    play(
        &mut journal,
        &plan,
        &format!(
            "
            wait 10m      → live; owed: cool a, cool b
            claim cool b  → live; owed: cool a
            accept        → {refused}
            fail cool b   → live; owed: cool a, cool b in 10s
            accept        → {refused}
            do cool b     → live; owed: cool a
            accept        → {refused}
            do cool a     → live
            accept        → {refused}
            "
        ),
    );
}

#[test]
fn no_way_back_to_other_replicas_than_those_that_are_warm() {
    let mut journal = two_live();
    let (v1, v2) = (kept(&journal, "v1").clone(), kept(&journal, "v2").clone());
    let of_others = warm_rollback(3, &KeptRelease { replicas: v2.replicas.clone(), ..v1 });
    assert!(journal.accept(&of_others).is_err());
    assert!(journal.accept(&warm_rollback(3, &v2)).is_err(), "it is live");
    let plan = back(&journal);
    let elsewhere = Plan { hosts: self::plan(3, &["a", "c"]).hosts, ..plan.clone() };
    assert_eq!(elsewhere.check().unwrap_err().to_string(), "host c has no replicas that were kept warm");
    let booting = Plan {
        stages: Plan::stages_for(&plan.release, plan.image.as_ref(), &cutover_core::SidecarImages::new()),
        ..plan.clone()
    };
    assert!(booting.check().is_err());
    let imageless = Plan { image: None, ..plan.clone() };
    assert!(imageless.check().is_err(), "it would be live without anybody's knowing what that is");
    assert!(journal.accept(&plan).is_ok());
}

/// The worker has read the journal, and its claim comes after the decision that it hasn't read.
#[test]
fn a_cool_that_has_not_seen_the_way_back_is_void() {
    let mut journal = two_live();
    play(&mut journal, &warm(3), "wait 10m → live; owed: cool a, cool b");
    let (cool, before, hint) = (task("cool a"), journal.service.last_decision, journal.hint());
    let work = journal.work(&id(2), &cool);
    assert_eq!(journal.permission_of(&work, hint), Permission::Perform { expected: 0, attempt: 1 });
    let plan = back(&journal);
    journal.accept(&plan).unwrap();
    let claim = journal.claim_of_as(&id(2), &cool, before, hint);
    assert!(!journal.service.holds(&id(2), &cool, claim));
    assert!(!journal.service.needs(&work, hint), "there will be a message of its own for the next attempt");
    play(
        &mut journal,
        &plan,
        "
        do probe a, probe b  → switch a, switch b
        abort                → aborted; owed: cool a of 2, cool b of 2
        ",
    );
    assert!(is_warm(&journal, "v1"), "nobody has begun to stop it");
    let (work, hint) = (journal.work(&id(2), &cool), journal.hint());
    assert_eq!(journal.permission_of(&work, hint), Permission::Perform { expected: claim, attempt: 2 });
    play(&mut journal, &plan, "do cool a, cool b → aborted");
}

#[test]
fn a_way_back_that_is_taken_back_leaves_everything_as_it_was() {
    let mut journal = two_live();
    let (kept, owed) = (journal.service.kept.clone(), journal.service.obligations.clone());
    let plan = back(&journal);
    let as_before = |journal: &Journal| {
        assert_eq!((&journal.service.kept, &journal.service.obligations), (&kept, &owed));
        assert_eq!(in_use(journal), [id(2), id(1)]);
    };
    play(
        &mut journal,
        &plan,
        "
        accept                   → probe a, probe b
        do probe a, probe b      → switch a, switch b
        do switch a              → switch b
        abort                    → restore a
        do restore a             → aborted; owed: cool a of 2 in 9m 50s, cool b of 2 in 9m 50s
        ",
    );
    as_before(&journal);
    let plan = Plan { deployment: id(4), ..plan };
    play(
        &mut journal,
        &plan,
        "
        accept                   → probe a, probe b
        claim probe a            → probe b
        fail probe a             → failed; owed: cool a of 2 in 9m 47s, cool b of 2 in 9m 47s
        replay                   → probe a, probe b
        abort                    → aborted; owed: cool a of 2 in 9m 45s, cool b of 2 in 9m 45s
        ",
    );
    as_before(&journal);
    play(
        &mut journal,
        &plan,
        &format!(
            "
            wait 10m                 → aborted; owed: cool a of 2, cool b of 2
            do cool a                → aborted; owed: cool b of 2
            replay                   → illegal decision: the replicas of release {} are not warm any more
            ",
            plan.release.id()
        ),
    );
}

#[test]
fn warm_where_it_was_retired_and_on_the_last_host_once_that_is_paid() {
    let mut journal = Journal::new();
    play(&mut journal, &warm(1), &format!("{TO_RETIRE}\ndo retire b → live"));
    play(
        &mut journal,
        &warm(2),
        &format!(
            "{TO_RETIRE}
            claim retire b     → …
            fail retire b      → degraded, live; owed: cool a in 10m, retire b in 5s
            wait 5s            → degraded, live; owed: cool a in 9m 55s, retire b
            "
        ),
    );
    assert!(!is_warm(&journal, "v1"), "on the other host it may be gone");
    assert_eq!(spared(&journal), [id(1)], "it is not, as the retire that is owed leaves it running");
    play(&mut journal, &warm(3), "do retire b → degraded, live; owed: cool a in 9m 53s, cool b in 9m 53s");
    assert!(is_warm(&journal, "v1"));
    play(
        &mut journal,
        &warm(3),
        "wait 10m → degraded, live; owed: cool a, cool b\ndo cool a, cool b → degraded, live",
    );
}

/// What was kept warm by the deployment before is what has the traffic now: to stop it would be the end of it.
#[test]
fn a_way_back_that_ends_degraded_leaves_nothing_of_what_it_came_from_to_be_cooled() {
    let mut journal = two_live();
    let plan = back(&journal);
    play(
        &mut journal,
        &plan,
        "
        accept                   → probe a, probe b
        do probe a, probe b      → switch a, switch b
        do switch a, switch b    → retire a, retire b
        do retire a              → retire b
        claim retire b           → …
        fail retire b            → degraded, live; owed: cool a in 10m, retire b in 5s
        wait 5s                  → degraded, live; owed: cool a in 9m 55s, retire b
        do retire b              → degraded, live; owed: cool a in 9m 53s, cool b in 9m 53s
        ",
    );
    assert!(is_warm(&journal, "v2"));
}

#[test]
fn what_could_not_be_cooled_says_why() {
    let mut journal = two_live();
    play(
        &mut journal,
        &warm(3),
        "
        wait 10m         → live; owed: cool a, cool b
        claim cool a     → live; owed: cool b
        stumble cool a   → live; owed: cool a in 10s, cool b
        ",
    );
    let [debt] = journal.service.debts().collect::<Vec<_>>()[..] else {
        panic!("a failure that nobody sees")
    };
    assert_eq!((debt.task.clone(), debt.reason.as_deref()), (task("cool a"), Some("not now")));
}

/// The name of a release is that of its content: what a new setting adds to one that doesn't use it must not change it.
#[test]
fn a_release_that_keeps_nothing_warm_is_named_as_before() {
    let cold = plan(1, &["a"]).release;
    assert!(!serde_json::to_string(&cold).unwrap().contains("warm"));
    assert_ne!(warm(1).release.id(), cold.id());
}
