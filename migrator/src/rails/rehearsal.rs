//! The rehearsal of a Rails application's migrations: both phases, by its own Rails, on a copy of the database.
//!
//! What the application connects to is its own affair. So the migrator holds a lock in the copy, and no session comes about in the
//! container but where that is seen ([`super::SCRIPT`]).

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_bus::Assignment;
use cutover_core::{Engine, Hazard, MigrationFile, Phase, Rails, RehearsalTerms, Rehearsed, Span};
use cutover_fleet::{Fleet, ImageName};
use cutover_migration::lint::{Script, lint};

use super::order::Order;
use super::saying::Statement;
use super::{RailsError, Said, run};
use crate::postgres::{Mark, share_a_server};
use crate::{Error, Limits, Target};

/// What of a statement is kept in the journal, in characters.
const SQL: usize = 120;

/// Runs both phases of what `original` lacks on `copy`. Where it lacks nothing, nothing is done.
///
/// # Errors
/// A migration that fails; a copy that is the database itself, or an application that connects elsewhere, where nothing is done; all
/// that can go wrong with a host.
pub(crate) async fn rehearse(
    fleet: &Fleet,
    assignment: &Assignment,
    rails: &Rails,
    terms: &RehearsalTerms,
    copy: Target<'_>,
    original: Target<'_>,
) -> Result<Vec<Rehearsed>, RailsError> {
    if share_a_server(copy, original).map_err(database)? {
        return Err(database(Error::NoCopy));
    }
    let settings = &assignment.plan().release.settings;
    let limits =
        Limits { turn: terms.timeout.0.mul_f64(0.9), ..Limits::of(&settings.locks, &settings.backfill) };
    let mark = Mark::set(original, &limits).await.map_err(database)?;
    let seal = Mark::set(copy, &limits).await.map_err(database)?;
    let ended = Box::pin(all(fleet, assignment, rails, terms, (copy, &seal), (&mark, &limits))).await;
    seal.remove().await;
    mark.remove().await;
    ended
}

async fn all(
    fleet: &Fleet,
    assignment: &Assignment,
    rails: &Rails,
    terms: &RehearsalTerms,
    (copy, seal): (Target<'_>, &Mark<'_>),
    (mark, limits): (&Mark<'_>, &Limits),
) -> Result<Vec<Rehearsed>, RailsError> {
    let plan = assignment.plan();
    let release = &plan.release;
    // What is sealed is apart from the database, whatever a name leads to later.
    let session = mark.open_apart(copy, limits).await.map_err(database)?;
    if !seal.is_shown_to(&session).await.map_err(database)? {
        return Err(database(Error::Moved { server: session.server().to_owned() }));
    }
    session.close().await;
    let versions: Vec<&str> = release.migrations.iter().map(|file| file.version.as_str()).collect();
    if !mark.lacks_versions(&versions).await.map_err(database)? {
        return Ok(Vec::new());
    }
    let (Some(host), Some(image)) = (plan.hosts.first(), assignment.deployment().image()) else {
        return Ok(Vec::new());
    };
    let (machine, image) = (fleet.machine(host), ImageName::new(&plan.key, image));
    let orders = [
        (Phase::Expand, Order::expand(&plan.key, release, limits, terms.timeout)),
        (Phase::Contract, Order::contract(&plan.key, release.contracts(), limits, terms.timeout)),
    ];
    let (mut done, mut scripts) = (Vec::new(), Vec::new());
    for (phase, order) in orders {
        let order = order.sealed(seal.key());
        let said =
            Box::pin(run(&machine, assignment, &image, rails, &order, Some(&terms.database), "rehearsal: "))
                .await?;
        scripts.extend(scripts_of(phase, &said, &release.migrations));
        done.extend(said.applied);
    }
    let mut hazards = hazards(&scripts);
    for (version, all) in &hazards {
        for Hazard { rule, sql } in all {
            assignment.line(&format!("rehearsal: {version} is dangerous, {rule}: {sql}")).await;
        }
    }
    let rehearsed = |(version, took): (String, Duration)| Rehearsed {
        hazards: hazards.remove(&version).unwrap_or_default(),
        migration: title(&version, &release.migrations),
        took: Span(took),
        rows: 0,
        locks: Vec::new(),
    };
    Ok(done.into_iter().map(rehearsed).collect())
}

fn database(error: Error) -> RailsError {
    RailsError::Database(Box::new(error))
}

fn title(version: &str, files: &[MigrationFile]) -> String {
    files.iter().find(|file| file.version == version).map_or_else(|| version.to_owned(), MigrationFile::title)
}

/// The SQL of each version, as a file would have it.
fn scripts_of(phase: Phase, said: &Said, files: &[MigrationFile]) -> Vec<Script> {
    let script = |(version, _): &(String, _)| {
        let own = said.statements.iter().filter(|statement| statement.version == *version);
        let mut sql = String::new();
        for (number, Statement { sql: text, together, .. }) in own.enumerate() {
            if number > 0 && !together {
                sql.push_str("-- cutover: part\n");
            }
            if text.to_ascii_uppercase().contains(" CONCURRENTLY ") {
                sql.push_str("-- cutover: transaction=off\n");
            }
            sql.push_str(text.trim_end().trim_end_matches(';'));
            sql.push_str(";\n");
        }
        let (file, contract) = (title(version, files), "db/post_migrate".to_owned());
        Script { file, contract, version: version.clone(), phase, sql, declared: false }
    };
    said.applied.iter().map(script).collect()
}

/// What is dangerous, by version. What can't be read is nothing that is known.
fn hazards(scripts: &[Script]) -> BTreeMap<String, Vec<Hazard>> {
    let mut hazards: BTreeMap<String, Vec<Hazard>> = BTreeMap::new();
    for verdict in lint(scripts, Engine::Postgresql).unwrap_or_default() {
        let sql: String = verdict.sql.chars().take(SQL).collect();
        let all = hazards.entry(verdict.version).or_default();
        all.extend(
            verdict
                .findings
                .iter()
                .map(|found| Hazard { rule: found.rule.name().to_owned(), sql: sql.clone() }),
        );
    }
    hazards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_run_is_judged_as_if_it_had_been_written() {
        let statement = |version: &str, sql: &str, together| Statement {
            version: version.to_owned(),
            sql: sql.to_owned(),
            took: 1,
            together,
        };
        let said = Said {
            applied: ["1", "2", "3"].map(|version| (version.to_owned(), Duration::ZERO)).to_vec(),
            statements: vec![
                statement("1", "ALTER TABLE \"people\" ADD \"full_name\" text", true),
                statement("2", "CREATE INDEX CONCURRENTLY \"by_name\" ON \"people\" (\"full_name\")", false),
                statement("3", "CREATE INDEX \"by_name\" ON \"people\" (\"name\")", true),
                statement("3", "ALTER TABLE \"people\" DROP COLUMN \"name\"", true),
            ],
            ..Said::default()
        };
        let rules = |phase| {
            let hazards = hazards(&scripts_of(phase, &said, &[]));
            let all = hazards
                .into_iter()
                .flat_map(|(version, all)| all.into_iter().map(move |one| (version.clone(), one.rule)));
            all.map(|(version, rule)| format!("{version} {rule}")).collect::<Vec<_>>()
        };
        let expand = rules(Phase::Expand);
        assert!(expand.iter().all(|rule| rule.starts_with("3 ")), "{expand:?}");
        assert!(
            ["3 index", "3 drop-column"].iter().all(|rule| expand.iter().any(|found| found == rule)),
            "{expand:?}"
        );
        assert!(!rules(Phase::Contract).contains(&"3 drop-column".to_owned()));
    }
}
