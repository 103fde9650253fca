//! The ledger in the database: what was applied, when, for which deployment, and by whose authority.

use std::collections::BTreeMap;

use cutover_core::Phase;
use cutover_migration::Version;

use super::Session;
use super::fence::columns;
use crate::ledger::{Entry, PartEntry, Pending};
use crate::{Error, Work};

/// Each is made where it isn't there: a killed run may have made some. They lie beside the application's own tables, as a schema
/// is a database here, and the application's user has only one. Names and keys are compared as they are, and times are UTC.
const CREATE: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS cutover_ledger_migrations (
    service varchar(100) NOT NULL,
    version bigint NOT NULL,
    name varchar(255) NOT NULL,
    checksum char(64) NOT NULL,
    phase varchar(20) NOT NULL,
    epoch_journal varchar(100) NOT NULL,
    epoch_sequence bigint NOT NULL,
    deployment varchar(100) NOT NULL,
    started_at datetime(6) NOT NULL,
    finished_at datetime(6),
    PRIMARY KEY (service, version, phase)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin \
    COMMENT 'Which migrations Cutover has applied. Not part of the application.'",
    "CREATE TABLE IF NOT EXISTS cutover_ledger_fence (
    service varchar(100) PRIMARY KEY,
    epoch_journal varchar(100) NOT NULL,
    epoch_sequence bigint NOT NULL,
    raised_at datetime(6) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS cutover_ledger_parts (
    service varchar(100) NOT NULL,
    version bigint NOT NULL,
    phase varchar(20) NOT NULL,
    part int NOT NULL,
    catalog_before varchar(200),
    started_at datetime(6) NOT NULL,
    finished_at datetime(6),
    PRIMARY KEY (service, version, phase, part)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS cutover_ledger_backfills (
    service varchar(100) NOT NULL,
    version bigint NOT NULL,
    part int NOT NULL,
    round int NOT NULL,
    along text NOT NULL,
    upper text NOT NULL,
    reached text,
    batch int NOT NULL,
    rows_expected bigint,
    rows_walked bigint NOT NULL,
    moved_at datetime(6) NOT NULL,
    PRIMARY KEY (service, version, part)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
];

/// Inserts the row of a migration, or takes over one that a killed run has left.
const MIGRATION: &str = "INSERT INTO cutover_ledger_migrations \
    (service, version, phase, name, checksum, epoch_journal, epoch_sequence, deployment, started_at, finished_at) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6), IF(?, UTC_TIMESTAMP(6), NULL)) \
    ON DUPLICATE KEY UPDATE epoch_journal = VALUES(epoch_journal), epoch_sequence = VALUES(epoch_sequence), \
    deployment = VALUES(deployment), finished_at = COALESCE(finished_at, VALUES(finished_at))";

/// The same of a part.
const PART: &str = "INSERT INTO cutover_ledger_parts \
    (service, version, phase, part, catalog_before, started_at, finished_at) \
    VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(6), IF(?, UTC_TIMESTAMP(6), NULL)) \
    ON DUPLICATE KEY UPDATE catalog_before = COALESCE(VALUES(catalog_before), catalog_before), \
    finished_at = COALESCE(finished_at, VALUES(finished_at))";

const FORGET_PART: &str = "DELETE FROM cutover_ledger_parts \
    WHERE service = ? AND version = ? AND phase = ? AND part = ? AND finished_at IS NULL";

/// Where nothing else of the migration was begun.
const FORGET_MIGRATION: &str = "DELETE FROM cutover_ledger_migrations \
    WHERE service = ? AND version = ? AND phase = ? AND finished_at IS NULL AND NOT EXISTS \
    (SELECT 1 FROM cutover_ledger_parts p WHERE p.service = cutover_ledger_migrations.service \
    AND p.version = cutover_ledger_migrations.version AND p.phase = cutover_ledger_migrations.phase)";

/// The ledger of one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ledger<'a> {
    pub(super) service: &'a str,
}

impl Ledger<'_> {
    /// Makes the ledger where there is none. To be called with the turn.
    pub(super) async fn make(self, session: &mut Session) -> Result<(), Error> {
        if !is_there(session).await? {
            for table in CREATE {
                let made = session.run(table).await;
                made.map_err(session.error("make the ledger (tables 'cutover_ledger_…')"))?;
            }
        }
        Ok(())
    }

    /// What was begun or applied, in all phases.
    pub(super) async fn entries(self, session: &mut Session) -> Result<Vec<Entry>, Error> {
        let parts = "SELECT version, phase, part, finished_at IS NOT NULL FROM cutover_ledger_parts \
                     WHERE service = ? ORDER BY part";
        let parts = session.rows::<(i64, String, u32, bool)>(parts, (self.service,)).await;
        let mut of: BTreeMap<(i64, String), Vec<PartEntry>> = BTreeMap::new();
        for (version, phase, part, finished) in parts.map_err(session.error("read the ledger"))? {
            of.entry((version, phase)).or_default().push(PartEntry { part: part as usize, finished });
        }
        let entries = "SELECT version, phase, checksum, finished_at IS NOT NULL FROM cutover_ledger_migrations \
                       WHERE service = ?";
        let entries = session.rows::<(i64, String, String, bool)>(entries, (self.service,)).await;
        let entry = |(version, name, checksum, finished): (i64, String, String, bool)| {
            // The table has no other phases.
            let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == name)?;
            let parts = of.remove(&(version, name)).unwrap_or_default();
            Some(Entry { version: Version::from_ledger(version), phase, checksum, finished, parts })
        };
        Ok(entries.map_err(session.error("read the ledger"))?.into_iter().filter_map(entry).collect())
    }

    /// Writes that `pending` is applied, or that it is about to be, with what the catalog says before. Within the transaction
    /// that is open.
    pub(super) async fn write(
        self,
        session: &mut Session,
        work: &Work,
        pending: &Pending<'_>,
        finished: bool,
        before: Option<&str>,
    ) -> Result<(), mysql_async::Error> {
        let (journal, sequence) = columns(&work.epoch);
        let migration = pending.migration;
        let (version, phase, part) = place(pending);
        let (name, checksum, deployment) = (migration.name(), migration.checksum(), work.deployment.as_str());
        session.execute(PART, (self.service, version, phase, part, before, finished)).await?;
        let ended = finished && pending.last;
        let row = (self.service, version, phase, name, checksum, journal, sequence, deployment, ended);
        session.execute(MIGRATION, row).await.map(drop)
    }

    /// The same in a transaction of its own.
    pub(super) async fn record(
        self,
        session: &mut Session,
        work: &Work,
        pending: &Pending<'_>,
        finished: bool,
        before: Option<&str>,
    ) -> Result<(), Error> {
        let recorded = async {
            session.run("START TRANSACTION").await?;
            self.write(session, work, pending, finished, before).await?;
            session.run("COMMIT").await
        };
        recorded.await.map_err(session.error("write the ledger"))
    }

    /// What the catalog said before `pending` was begun, where that was written; None where it wasn't begun.
    pub(super) async fn before(
        self,
        session: &mut Session,
        pending: &Pending<'_>,
    ) -> Result<Option<Option<String>>, Error> {
        let (version, phase, part) = place(pending);
        let before = "SELECT catalog_before FROM cutover_ledger_parts \
                      WHERE service = ? AND version = ? AND phase = ? AND part = ?";
        let found = session.rows::<Option<String>>(before, (self.service, version, phase, part)).await;
        Ok(found.map_err(session.error("read the ledger"))?.into_iter().next())
    }

    /// Takes back that `pending` was about to be applied.
    pub(super) async fn forget(self, session: &mut Session, pending: &Pending<'_>) -> Result<(), Error> {
        let (version, phase, part) = place(pending);
        let forgotten = async {
            session.run("START TRANSACTION").await?;
            session.execute(FORGET_PART, (self.service, version, phase, part)).await?;
            session.execute(FORGET_MIGRATION, (self.service, version, phase)).await?;
            session.run("COMMIT").await
        };
        forgotten.await.map_err(session.error("take back an entry"))
    }

    /// The SQL by which an operator says that `pending`, of which nobody knows, was done; and that it wasn't.
    pub(super) fn verdicts(self, pending: &Pending<'_>) -> (String, String) {
        let (version, phase, part) = place(pending);
        // A service's name has no quotes.
        let migration = format!("service = '{}' AND version = {version} AND phase = '{phase}'", self.service);
        let end = |table: &str, row: &str| {
            format!("UPDATE cutover_ledger_{table} SET finished_at = UTC_TIMESTAMP(6) WHERE {row};")
        };
        let part = format!("{migration} AND part = {part}");
        let done = if pending.last {
            format!("{} {}", end("parts", &part), end("migrations", &migration))
        } else {
            end("parts", &part)
        };
        (done, format!("DELETE FROM cutover_ledger_parts WHERE {part};"))
    }
}

/// Whether all of the ledger is there. Asked first: to make a table needs the right to, even where there is nothing to do.
pub(super) async fn is_there(session: &mut Session) -> Result<bool, Error> {
    let there = "SELECT COUNT(*) FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name = 'cutover_ledger_backfills'";
    let there = session.query::<i64>(there).await.map_err(session.error("look for the ledger"))?;
    Ok(there.first().is_some_and(|there| *there > 0))
}

/// Version, phase and part as the columns have them. No file has 2^31 parts.
pub(super) fn place(pending: &Pending<'_>) -> (i64, &'static str, i32) {
    let migration = pending.migration;
    let part = i32::try_from(migration.part()).unwrap_or(i32::MAX);
    (migration.version().number(), migration.phase().as_str(), part)
}
