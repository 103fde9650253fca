//! The ledger in the database: what was applied, when, for which deployment, and by whose authority.

use cutover_core::{Epoch, JournalId, ServiceName};

use super::Session;
use crate::Error;
use crate::expand::Expansion;
use crate::ledger::Entry;
use cutover_migration::{Migration, Version};

/// One transaction, so that there is all of it or nothing. The schema isn't called `cutover`: the default search path
/// begins with the schema that has the role's name, and a role of that name would find and make its tables in it.
const CREATE: &str = "BEGIN;
CREATE SCHEMA IF NOT EXISTS cutover_ledger;
CREATE TABLE cutover_ledger.migrations (
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
CREATE TABLE cutover_ledger.fence (
    service text PRIMARY KEY,
    epoch_journal text NOT NULL,
    epoch_sequence bigint NOT NULL,
    raised_at timestamptz NOT NULL
);
COMMENT ON SCHEMA cutover_ledger IS 'Which migrations Cutover has applied. Not part of the application.';
COMMIT";

/// Inserts the row of a migration, or takes over the one that a killed run has left.
const RECORD: &str = "INSERT INTO cutover_ledger.migrations AS m \
    (service, version, name, checksum, phase, epoch_journal, epoch_sequence, deployment, started_at, finished_at) \
    VALUES ($1, $2, $3, $4, 'expand', $5, $6, $7, now(), CASE WHEN $8 THEN clock_timestamp() END) \
    ON CONFLICT (service, version, phase) DO UPDATE SET epoch_journal = excluded.epoch_journal, \
    epoch_sequence = excluded.epoch_sequence, deployment = excluded.deployment, started_at = excluded.started_at, \
    finished_at = excluded.finished_at WHERE m.finished_at IS NULL";

/// The ledger of one service.
pub(crate) struct Ledger<'a> {
    session: &'a Session,
    service: &'a str,
}

impl<'a> Ledger<'a> {
    /// The ledger of `service`, made where there is none. To be called with the turn.
    pub(crate) async fn open(session: &'a Session, service: &'a ServiceName) -> Result<Self, Error> {
        let client = session.client();
        // Asked first: CREATE … IF NOT EXISTS needs the right to create even where there is nothing to do.
        let exists = client.query_one("SELECT to_regclass('cutover_ledger.fence') IS NOT NULL", &[]).await;
        let exists: bool =
            exists.and_then(|row| row.try_get(0)).map_err(session.error("look for the ledger"))?;
        if !exists && let Err(error) = client.batch_execute(CREATE).await {
            session.rollback().await;
            return Err(session.error("make the ledger (schema 'cutover_ledger')")(error));
        }
        Ok(Self { session, service: service.as_str() })
    }

    /// The highest epoch that has changed the schema.
    pub(crate) async fn fence(&self) -> Result<Option<Epoch>, Error> {
        let fence = "SELECT epoch_journal, epoch_sequence FROM cutover_ledger.fence WHERE service = $1";
        let row = self.session.client().query_opt(fence, &[&self.service]).await;
        row.and_then(|row| {
            row.map(|row| {
                let sequence: i64 = row.try_get(1)?;
                Ok(Epoch { journal: JournalId(row.try_get(0)?), sequence: sequence.unsigned_abs() })
            })
            .transpose()
        })
        .map_err(self.session.error("read the fence"))
    }

    /// Makes `epoch` the highest.
    pub(crate) async fn raise_fence(&self, epoch: &Epoch) -> Result<(), Error> {
        let raise = "INSERT INTO cutover_ledger.fence VALUES ($1, $2, $3, now()) ON CONFLICT (service) DO UPDATE \
                     SET epoch_journal = excluded.epoch_journal, epoch_sequence = excluded.epoch_sequence, \
                     raised_at = excluded.raised_at";
        let (journal, sequence) = columns(epoch);
        let raised = self.session.client().execute(raise, &[&self.service, &journal, &sequence]).await;
        raised.map(drop).map_err(self.session.error("raise the fence"))
    }

    /// What was begun or applied.
    pub(crate) async fn entries(&self) -> Result<Vec<Entry>, Error> {
        let entries = "SELECT version, checksum, finished_at IS NOT NULL FROM cutover_ledger.migrations \
                       WHERE service = $1 AND phase = 'expand'";
        let rows = self.session.client().query(entries, &[&self.service]).await;
        rows.and_then(|rows| {
            rows.iter()
                .map(|row| {
                    Ok(Entry {
                        version: Version::from_ledger(row.try_get(0)?),
                        checksum: row.try_get(1)?,
                        finished: row.try_get(2)?,
                    })
                })
                .collect()
        })
        .map_err(self.session.error("read the ledger"))
    }

    /// Writes that `migration` is applied, or, outside a transaction, that it is about to be.
    pub(crate) async fn record(
        &self,
        expansion: &Expansion,
        migration: &Migration,
        finished: bool,
    ) -> Result<(), tokio_postgres::Error> {
        let (journal, sequence) = columns(&expansion.epoch);
        let (version, name, checksum) =
            (migration.version().number(), migration.name(), migration.checksum());
        let deployment = expansion.deployment.as_str();
        self.session
            .client()
            .execute(
                RECORD,
                &[&self.service, &version, &name, &checksum, &journal, &sequence, &deployment, &finished],
            )
            .await
            .map(drop)
    }

    /// Takes back that `migration` was about to be applied.
    pub(crate) async fn forget(&self, migration: &Migration) -> Result<(), Error> {
        let forget = "DELETE FROM cutover_ledger.migrations \
                      WHERE service = $1 AND version = $2 AND phase = 'expand' AND finished_at IS NULL";
        let version = migration.version().number();
        let forgotten = self.session.client().execute(forget, &[&self.service, &version]).await;
        forgotten.map(drop).map_err(self.session.error("take back an entry"))
    }
}

/// An epoch as its columns have it. No journal gets to 2^63 facts.
fn columns(epoch: &Epoch) -> (&str, i64) {
    (&epoch.journal.0, i64::try_from(epoch.sequence).unwrap_or(i64::MAX))
}
