//! Migrator: the ledger's fence refuses stale claims; what was done is found.

use cutover_core::{Failure, MigrationFile, Output, Stage};

use super::Hand;
use crate::database::Database;
use crate::tally::Happening;
use crate::{Flaw, invariant};

pub(super) async fn expand(hand: &Hand<'_>) -> Result<Output, Failure> {
    let migrations = &hand.plan().release.migrations;
    let mut applied = Vec::new();
    for file in migrations.iter().filter(|file| file.phase.is_expand()) {
        hand.take_time(5, 500).await;
        if change(hand, file, |database| database.expanded.insert(file.version.clone())).await? {
            applied.push(file.version.clone());
        }
    }
    Ok(Output::Expanded { applied, rehearsed: Vec::new() })
}

/// Before the switch what the new version reads, afterwards all.
pub(super) async fn backfill(hand: &Hand<'_>) -> Result<Output, Failure> {
    let release = &hand.plan().release;
    let world = &hand.bus.world;
    let owed = hand.assignment.is_owed();
    for file in release.backfills().filter(|file| owed || file.before_switch) {
        // Batch by batch.
        let slow = world.draw(|chance, _| if chance.one_in(5) { 30_000 } else { 1_000 });
        hand.take_time(5, slow).await;
        change(hand, file, |database| {
            world.hold(invariant::rows_are_brought_over_once_there_is_where_to(database, file));
            database.filled.insert(file.version.clone())
        })
        .await?;
    }
    Ok(Output::Backfilled { rows: 1 })
}

/// The old structure goes, as far as the claim has begun it.
pub(super) async fn contract(hand: &Hand<'_>) -> Result<Output, Failure> {
    let release = &hand.plan().release;
    let world = &hand.bus.world;
    let begun: Vec<&MigrationFile> = match world.has(Flaw::ContractAtOnce) {
        true => release.contracts().collect(),
        false => hand.assignment.service.contracting(release).collect(),
    };
    let mut applied = Vec::new();
    for file in begun {
        hand.take_time(5, 500).await;
        change(hand, file, |database| {
            world.hold(invariant::nothing_is_contracted_that_has_rows_left(database, release, file));
            database.contracted.insert(file.version.clone());
            world.hold(invariant::what_runs_finds_its_schema(database, &world.hosts.borrow()));
        })
        .await?;
        applied.push(file.version.clone());
    }
    world.count(Happening::Contracted);
    Ok(Output::Contracted { applied })
}

/// Changes something in the database, if the claim is let in. When the answer is lost, it has happened all the same.
async fn change<T>(
    hand: &Hand<'_>,
    file: &MigrationFile,
    act: impl FnOnce(&mut Database) -> T,
) -> Result<T, Failure> {
    let (world, claim) = (&hand.bus.world, hand.assignment.claim);
    if world.draw(|chance, odds| chance.one_in(odds.stumble)) {
        return Err(Failure::passing("the database has a bad moment"));
    }
    let stage = hand.assignment.task.stage;
    let done = {
        let mut database = world.database.borrow_mut();
        let admitted = database.admit(claim);
        if admitted.is_err() && !(world.has(Flaw::LedgerUnfenced) && stage == Stage::Contract) {
            world.count(Happening::Fenced);
            return Err(Failure::lasting("something newer has changed the database"));
        }
        hand.bus.say(|| format!("{stage} of {}, by claim {claim}", file.version));
        world.hold(invariant::an_effect_has_a_claim(&world.watch.borrow(), hand.assignment));
        world.hold(invariant::nobody_late_changes_the_schema(admitted.is_ok(), hand.assignment));
        act(&mut database)
    };
    hand.take_time(0, 5).await;
    Ok(done)
}
