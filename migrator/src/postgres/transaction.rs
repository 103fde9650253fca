//! A migration and its ledger row in one transaction, tried until its locks are given.

use std::pin::pin;
use std::time::Instant;

use futures_util::StreamExt;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::Session;
use crate::error::{Location, is_contention};
use crate::expand::Run;
use crate::{Error, Progress};
use cutover_migration::Migration;

/// Applies `migration`. A wait for a lock is short, so that what queues behind it is not held up; between two tries
/// there is room for all that queued, by chance one to four times the wait.
pub(crate) async fn run_in_transaction(run: &mut Run<'_>, migration: &Migration) -> Result<(), Error> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        run.session.reset(run.limits.lock, run.limits.statement).await?;
        run.session.verify().await?;
        tries += 1;
        let (session, ledger, expansion) = (run.session, &run.ledger, run.expansion);
        let attempt = async {
            session.client().batch_execute("BEGIN").await.map_err(session.error("begin a transaction"))?;
            execute(session.client(), migration).await?;
            let ends =
                |source| Error::Statement { location: Location::of(migration, usize::MAX, &source), source };
            // A migration may have taken another role; the ledger is ours.
            session.client().batch_execute("RESET SESSION AUTHORIZATION; RESET ROLE").await.map_err(ends)?;
            ledger.record(expansion, migration, true).await.map_err(ends)?;
            // What is deferred, such as a constraint, fails here.
            session.client().batch_execute("COMMIT").await.map_err(ends)
        };
        let Err(error) = run.observer.watch(attempt).await else { return Ok(()) };
        run.session.rollback().await;
        match error {
            Error::Statement { source, .. } if is_contention(&source) => {
                if begun.elapsed() >= run.limits.patience {
                    return Err(run.locked(migration, tries, begun));
                }
                let version = migration.version();
                run.tell(Progress::Blocked { version, tries, blockers: run.observer.seen() });
                run.observer.attend().await;
                tokio::time::sleep(run.limits.lock.mul_f64(1.0 + 3.0 * fastrand::f64())).await;
            }
            error => return Err(error),
        }
    }
}

/// Runs the SQL of `migration` as it is written: the server splits it, so that we can't get it wrong.
pub(crate) async fn execute(client: &Client, migration: &Migration) -> Result<(), Error> {
    let mut completed = 0;
    let failed = |completed, source| Error::Statement {
        location: Location::of(migration, completed, &source),
        source,
    };
    let answers = client.simple_query_raw(migration.sql()).await.map_err(|source| failed(0, source))?;
    let mut answers = pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(SimpleQueryMessage::CommandComplete(_)) => completed += 1,
            Ok(_) => {}
            Err(source) => return Err(failed(completed, source)),
        }
    }
    Ok(())
}

impl Session {
    /// Ends whatever transaction is open. Where that fails the connection is gone, and the transaction with it.
    pub(crate) async fn rollback(&self) {
        if let Err(error) = self.client().batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "can't roll back: the connection is gone");
        }
    }
}
