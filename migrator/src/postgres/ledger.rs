//! The ledger in the database: what was applied, when, for which deployment, and by whose authority.

use std::collections::BTreeMap;

use cutover_core::{Phase, ServiceName};
use cutover_migration::Version;

use super::Session;
use super::fence::columns;
use crate::ledger::{Entry, PartEntry, Pending};
use crate::{Error, Work};

/// One transaction, so that there is all of it or nothing. The schema isn't called `cutover`: the default search path
/// begins with the schema that has the role's name, and a role of that name would find and make its tables in it. What came
/// later is in tables of its own: to change one that is there, a dump of the database would have to end first.
const CREATE: &str = "BEGIN;
CREATE SCHEMA IF NOT EXISTS cutover_ledger;
CREATE TABLE IF NOT EXISTS cutover_ledger.migrations (
    service text NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('expand', 'backfill', 'contract')),
    epoch_journal text NOT NULL,
    epoch_sequence bigint NOT NULL,
    deployment text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (service, version, phase)
);
CREATE TABLE IF NOT EXISTS cutover_ledger.fence (
    service text PRIMARY KEY,
    epoch_journal text NOT NULL,
    epoch_sequence bigint NOT NULL,
    raised_at timestamptz NOT NULL
);
CREATE TABLE cutover_ledger.parts (
    service text NOT NULL,
    version bigint NOT NULL,
    phase text NOT NULL,
    part integer NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (service, version, phase, part)
);
CREATE TABLE cutover_ledger.backfills (
    service text NOT NULL,
    version bigint NOT NULL,
    part integer NOT NULL,
    round integer NOT NULL,
    key text NOT NULL,
    upper text[] NOT NULL,
    reached text[],
    batch integer NOT NULL,
    rows_expected bigint,
    rows_walked bigint NOT NULL,
    moved_at timestamptz NOT NULL,
    PRIMARY KEY (service, version, part)
);
CREATE TABLE cutover_ledger.sessions (
    service text PRIMARY KEY,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL
);
COMMENT ON SCHEMA cutover_ledger IS 'Which migrations Cutover has applied. Not part of the application.';
COMMIT";

/// Inserts the row of a migration and, where it has several, that of its part; or takes over those that a killed run has
/// left. In one statement, so that there is never one without the other.
const RECORD: &str = "WITH part AS (INSERT INTO cutover_ledger.parts AS p (service, version, phase, part, started_at, finished_at) \
    SELECT $1::text, $2::bigint, $3::text, $4::integer, now(), CASE WHEN $5::boolean THEN clock_timestamp() END WHERE $6::boolean \
    ON CONFLICT (service, version, phase, part) DO UPDATE SET started_at = excluded.started_at, \
    finished_at = excluded.finished_at WHERE p.finished_at IS NULL) \
    INSERT INTO cutover_ledger.migrations AS m \
    (service, version, name, checksum, phase, epoch_journal, epoch_sequence, deployment, started_at, finished_at) \
    VALUES ($1, $2, $8, $9, $3, $10, $11, $12, now(), CASE WHEN $5 AND $7::boolean THEN clock_timestamp() END) \
    ON CONFLICT (service, version, phase) DO UPDATE SET epoch_journal = excluded.epoch_journal, \
    epoch_sequence = excluded.epoch_sequence, deployment = excluded.deployment, started_at = excluded.started_at, \
    finished_at = excluded.finished_at WHERE m.finished_at IS NULL";

/// Takes back the row of a part that was begun, and that of its migration where nothing else of it was.
const FORGET: &str = "WITH part AS (DELETE FROM cutover_ledger.parts \
    WHERE service = $1 AND version = $2 AND phase = $3 AND part = $4 AND finished_at IS NULL) \
    DELETE FROM cutover_ledger.migrations WHERE service = $1 AND version = $2 AND phase = $3 AND finished_at IS NULL \
    AND NOT EXISTS (SELECT FROM cutover_ledger.parts \
    WHERE service = $1 AND version = $2 AND phase = $3 AND part <> $4)";

/// The ledger of one service.
#[derive(Clone, Copy)]
pub(crate) struct Ledger<'a> {
    pub(super) session: &'a Session,
    pub(super) service: &'a str,
}

impl<'a> Ledger<'a> {
    /// The ledger of `service`, made where there is none. To be called with the turn.
    pub(crate) async fn open(session: &'a Session, service: &'a ServiceName) -> Result<Self, Error> {
        if !is_there(session).await?
            && let Err(error) = session.client().batch_execute(CREATE).await
        {
            session.rollback().await;
            return Err(session.error("make the ledger (schema 'cutover_ledger')")(error));
        }
        Ok(Self { session, service: service.as_str() })
    }

    /// What was begun or applied, in all phases.
    pub(crate) async fn entries(&self) -> Result<Vec<Entry>, Error> {
        let read = async {
            let parts = "SELECT version, phase, part, finished_at IS NOT NULL FROM cutover_ledger.parts \
                         WHERE service = $1 ORDER BY part";
            let mut of: BTreeMap<(i64, String), Vec<PartEntry>> = BTreeMap::new();
            for row in self.session.client().query(parts, &[&self.service]).await? {
                let part: i32 = row.try_get(2)?;
                let part = PartEntry { part: part.unsigned_abs() as usize, finished: row.try_get(3)? };
                of.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push(part);
            }
            let entries = "SELECT version, phase, checksum, finished_at IS NOT NULL FROM cutover_ledger.migrations \
                           WHERE service = $1";
            let mut found = Vec::new();
            for row in self.session.client().query(entries, &[&self.service]).await? {
                let (version, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                // The table has no other phases.
                let Some(phase) = Phase::ALL.into_iter().find(|phase| phase.as_str() == name) else {
                    continue;
                };
                found.push(Entry {
                    version: Version::from_ledger(version),
                    phase,
                    checksum: row.try_get(2)?,
                    finished: row.try_get(3)?,
                    parts: of.remove(&(version, name)).unwrap_or_default(),
                });
            }
            Ok(found)
        };
        read.await.map_err(self.session.error("read the ledger"))
    }

    /// Writes that `pending` is applied, or, outside a transaction, that it is about to be.
    pub(crate) async fn record(
        &self,
        work: &Work,
        pending: &Pending<'_>,
        finished: bool,
    ) -> Result<(), tokio_postgres::Error> {
        let (journal, sequence) = columns(&work.epoch);
        let migration = pending.migration;
        let (version, phase, part) = place(pending);
        let (name, checksum, deployment) = (migration.name(), migration.checksum(), work.deployment.as_str());
        let client = self.session.client();
        let recorded = client
            .execute(
                RECORD,
                &[
                    &self.service,
                    &version,
                    &phase,
                    &part,
                    &finished,
                    &pending.is_part(),
                    &pending.last,
                    &name,
                    &checksum,
                    &journal,
                    &sequence,
                    &deployment,
                ],
            )
            .await;
        recorded.map(drop)
    }

    /// Takes back that `pending` was about to be applied.
    pub(crate) async fn forget(&self, pending: &Pending<'_>) -> Result<(), Error> {
        let (version, phase, part) = place(pending);
        let forgotten =
            self.session.client().execute(FORGET, &[&self.service, &version, &phase, &part]).await;
        forgotten.map(drop).map_err(self.session.error("take back an entry"))
    }
}

/// Whether all of the ledger is there. Asked first: CREATE … IF NOT EXISTS needs the right to create even where there is
/// nothing to do.
pub(super) async fn is_there(session: &Session) -> Result<bool, Error> {
    let there = "SELECT to_regclass('cutover_ledger.sessions') IS NOT NULL";
    let row = session.client().query_one(there, &[]).await;
    row.and_then(|row| row.try_get(0)).map_err(session.error("look for the ledger"))
}

/// Version, phase and part as the columns have them. No file has 2^31 parts.
pub(super) fn place(pending: &Pending<'_>) -> (i64, &'static str, i32) {
    let migration = pending.migration;
    let part = i32::try_from(migration.part()).unwrap_or(i32::MAX);
    (migration.version().number(), migration.phase().as_str(), part)
}
