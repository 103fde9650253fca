//! What a service needs of the artifact store, at each point of a deployment's life.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use std::collections::BTreeSet;

use cutover_core::{BuildContext, Digest, Fact, MigrationFile, Needed, Output, Plan, Source, Stage, Task};
use journal::{Journal, plan, play};

/// A deployment that builds image `n` of context `n`, with migration `n`, and keeps one release beside the live one.
fn building(number: u8, hosts: &[&str]) -> Plan {
    let mut plan = plan(number, hosts);
    let context = BuildContext { archive: context(number), recipe: Box::default() };
    plan.release.source = Source::Context(context);
    plan.release.settings.retain = 1;
    plan.release.migrations = vec![MigrationFile::expand(format!("{number}"), "add", migration(number))];
    plan
}

fn context(number: u8) -> Digest {
    Digest::of(&[0, number])
}

fn migration(number: u8) -> Digest {
    Digest::of(&[1, number])
}

fn image(number: u8) -> Digest {
    Digest::of(&[2, number])
}

fn provenance(number: u8) -> Digest {
    Digest::of(&[3, number])
}

fn build(journal: &mut Journal, number: u8) {
    let task = Task { stage: Stage::Build, host: None };
    let claim = journal.claim(&task);
    let provenance = Some(provenance(number));
    let output = Output::Built {
        image: image(number),
        bytes: 1,
        commit: None,
        provenance,
        sidecars: cutover_core::SidecarImages::new(),
    };
    journal.fact(&task, Fact::Finished { claim, output }).unwrap();
}

const TO_LIVE: &str = "
    do ship a    → boot a
    do boot a    → probe a
    do probe a   → switch a
    do switch a, soak → retire a
    do retire a  → live
";

const OWED: &str = "
    do ship a    → boot a
    do boot a    → probe a
    do probe a   → switch a
    do switch a, soak → retire a
    do retire a  → live; owed: restore b of 2
";

fn deploy(journal: &mut Journal, number: u8) {
    journal.accept(&building(number, &["a"])).unwrap();
    build(journal, number);
    play(journal, &building(number, &["a"]), TO_LIVE);
}

/// The images, with what says how they were made, contexts and migrations of these numbers, and nothing else.
fn assert_needed(journal: &Journal, images: &[u8], contexts: &[u8], migrations: &[u8]) {
    let mut needed = Needed::default();
    needed.add(&journal.service);
    assert_eq!(needed.images, images.iter().map(|number| image(*number)).collect::<BTreeSet<_>>());
    let contexts = contexts.iter().map(|number| context(*number));
    let files = contexts.chain(migrations.iter().map(|number| migration(*number)));
    let files: BTreeSet<Digest> = files.chain(images.iter().map(|number| provenance(*number))).collect();
    assert_eq!(needed.files, files);
}

#[test]
fn what_is_kept_and_what_is_open_is_needed_and_nothing_else() {
    let mut journal = Journal::new();
    assert_needed(&journal, &[], &[], &[]);
    journal.accept(&building(1, &["a"])).unwrap();
    assert_needed(&journal, &[], &[1], &[1]);
    build(&mut journal, 1);
    assert_needed(&journal, &[1], &[1], &[1]);
    play(&mut journal, &building(1, &["a"]), TO_LIVE);
    assert_needed(&journal, &[1], &[1], &[1]);

    deploy(&mut journal, 2);
    assert_needed(&journal, &[2, 1], &[2], &[2, 1]);
    // One is kept beside the live one: the first is forgotten once the third is live, and not before.
    journal.accept(&building(3, &["a"])).unwrap();
    build(&mut journal, 3);
    assert_needed(&journal, &[3, 2, 1], &[3], &[3, 2, 1]);
    play(&mut journal, &building(3, &["a"]), TO_LIVE);
    assert_needed(&journal, &[3, 2], &[3], &[3, 2]);
}

#[test]
fn a_deployment_that_failed_can_be_replayed_until_the_next_one() {
    let mut journal = Journal::new();
    deploy(&mut journal, 1);
    journal.accept(&building(2, &["a"])).unwrap();
    build(&mut journal, 2);
    play(
        &mut journal,
        &building(2, &["a"]),
        "
        claim ship a → …
        fail ship a  → failed
        ",
    );
    assert_needed(&journal, &[2, 1], &[2], &[2, 1]);
    deploy(&mut journal, 3);
    assert_needed(&journal, &[3, 1], &[3], &[3, 1]);
}

#[test]
fn a_deployment_that_owes_something_needs_what_it_was_made_of() {
    let mut journal = Journal::new();
    deploy(&mut journal, 1);
    let unrestored = building(2, &["a", "b"]);
    journal.accept(&unrestored).unwrap();
    build(&mut journal, 2);
    play(
        &mut journal,
        &unrestored,
        "
        do ship a, ship b, boot a, boot b → probe a, probe b
        do probe a, probe b    → switch a, switch b
        do switch a, switch b  → soak
        claim soak             → …
        fail soak              → restore a, restore b
        claim restore b        → restore a
        fail restore b         → restore a
        do restore a           → discard a
        do discard a           → degraded, not live; owed: restore b in 5s
        ",
    );
    // Two that have nothing to do with the other host: the debt outlives them.
    for number in [3, 4] {
        journal.accept(&building(number, &["a"])).unwrap();
        build(&mut journal, number);
        play(&mut journal, &building(number, &["a"]), OWED);
    }
    assert_needed(&journal, &[4, 3, 2], &[4, 2], &[4, 3, 2]);
}

#[test]
fn all_services_of_a_journal_need_theirs() {
    let (mut one, mut other) = (Journal::new(), Journal::new());
    deploy(&mut one, 1);
    deploy(&mut other, 2);
    let mut needed = Needed::default();
    needed.add(&one.service);
    needed.add(&other.service);
    assert_eq!(needed.images, [image(1), image(2)].into());
}
