//! The schema: rows are brought over to what is there, and nothing loses what it needs.

use cutover_core::{MigrationFile, Release};

use super::{Violation, require};
use crate::assignment::Assignment;
use crate::database::Database;
use crate::host::Host;

/// Rows are brought over once the new structure is there.
pub(crate) fn rows_are_brought_over_once_there_is_where_to(
    database: &Database,
    file: &MigrationFile,
) -> Result<(), Violation> {
    let holds = database.expanded.contains(&file.version);
    require(holds, "rows are brought over once there is where to", || {
        format!("not those of {}", file.version)
    })
}

/// The old structure goes once all rows are in the new one, those included that an older version has written since.
pub(crate) fn nothing_is_contracted_that_has_rows_left(
    database: &Database,
    release: &Release,
    file: &MigrationFile,
) -> Result<(), Violation> {
    let backfilled = release.backfills().any(|other| other.version == file.version);
    let holds =
        !backfilled || database.filled.contains(&file.version) || database.contracted.contains(&file.version);
    require(holds, "nothing is contracted that has rows left", || format!("{} is", file.version))
}

/// Whatever runs finds the structure that it needs, but for what nobody knows to be there: what a worker has started that the
/// journal knew to be gone, and what a host has that was forgiven.
pub(crate) fn what_runs_finds_its_schema(database: &Database, hosts: &[Host]) -> Result<(), Violation> {
    let mut running = hosts.iter().filter(|host| !host.forgiven).flat_map(|host| &host.containers);
    let lost = running.find_map(|there| {
        let missed = database.missed_by(&there.deployment)?;
        (!there.late).then_some((there, missed))
    });
    require(lost.is_none(), "what runs finds its schema", || {
        format!("{:?}", lost.map(|(there, missed)| (&there.replica.name, missed)))
    })
}

/// A worker that has been outlived changes nothing in the database.
pub(crate) fn nobody_late_changes_the_schema(
    is_admitted: bool,
    assignment: &Assignment,
) -> Result<(), Violation> {
    require(is_admitted, "nobody late changes the schema", || {
        format!("claim {} does, for {}", assignment.claim, assignment.task)
    })
}
