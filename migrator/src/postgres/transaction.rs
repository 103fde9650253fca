//! A migration and its ledger row in one transaction, tried until its locks are given.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::held::Before;
use super::holders::{self, Holders};
use super::run::Run;
use super::{Ledger, Session};
use crate::ladder::Ladder;
use crate::ledger::Pending;
use crate::{Error, Limits, Progress, Work};
use cutover_core::HeldLock;
use cutover_migration::Migration;

/// How long autovacuum may take to let go of a table. It does so only for those who have waited for `deadlock_timeout`, 1 s
/// where nobody has changed it.
const AUTOVACUUM: Duration = Duration::from_secs(3);

/// Applies `pending`, as hard as the ladder says at each try.
pub(crate) async fn run_in_transaction(run: &mut Run<'_>, pending: &Pending<'_>) -> Result<(), Error> {
    let migration = pending.migration;
    let (begun, names, limits) = (Instant::now(), holders::names(migration), run.limits);
    let mut ladder = Ladder::default();
    loop {
        run.session.reset(limits.lock, limits.statement).await?;
        run.session.verify().await?;
        let holders = look(run.session, &names).await;
        let rung = ladder.next(limits, begun.elapsed(), holders.oldest(limits), fastrand::f64());
        if rung.observed {
            run.observer.attend().await;
        }
        let Run { session, ledger, work, limits, progress, .. } = *run;
        let attempt = Attempt { session, ledger, work, limits, progress };
        let attempt = attempt.make(pending, rung.wait, &holders.vacuumed);
        let ended = if rung.observed { run.observer.watch(attempt, progress).await } else { attempt.await };
        let Err(error) = ended else { return Ok(()) };
        run.session.rollback().await;
        match error {
            Error::Statement { source, .. } if source.is_contention() => {
                let mut blockers = holders.clients;
                if rung.observed {
                    blockers = run.observer.seen();
                    ladder.observed(blockers.0.iter().any(|backend| backend.is_older_than(limits.lock)));
                }
                let (tries, waited) = (ladder.tries(), begun.elapsed());
                if waited >= limits.patience {
                    return Err(Error::Locked { file: migration.file().to_owned(), tries, waited, blockers });
                }
                run.tell(Progress::Blocked { version: migration.version(), tries, blockers });
                tokio::time::sleep(rung.pause).await;
            }
            error => return Err(error),
        }
    }
}

/// Who holds locks on what the migration names. That they can't be seen is no reason to fail.
async fn look(session: &Session, names: &[String]) -> Holders {
    Holders::look(session, names).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "holders of locks can't be seen before the migration");
        Holders::default()
    })
}

/// What one try is made with.
struct Attempt<'a> {
    session: &'a Session,
    ledger: Ledger<'a>,
    work: &'a Work,
    limits: &'a Limits,
    progress: &'a UnboundedSender<Progress>,
}

impl Attempt<'_> {
    /// Makes it; no lock is waited for longer than `wait`.
    async fn make(self, pending: &Pending<'_>, wait: Duration, vacuumed: &[String]) -> Result<(), Error> {
        let Self { session, ledger, work, limits, .. } = self;
        let migration = pending.migration;
        let client = session.client();
        let fails =
            |completed| move |source: tokio_postgres::Error| Error::statement(migration, completed, source);
        let before = match limits.hold {
            Some(limit) => Some((Before::of(session).await?, limit)),
            None => None,
        };
        client.batch_execute("BEGIN").await.map_err(session.error("begin a transaction"))?;
        for table in vacuumed {
            // A lock that autovacuum gives way to, and that nobody else who reads or writes has to wait for.
            let lock = format!(
                "SET LOCAL lock_timeout = {}; LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE",
                AUTOVACUUM.as_millis()
            );
            client.batch_execute(&lock).await.map_err(fails(0))?;
        }
        let limit = format!("SET LOCAL lock_timeout = {}", wait.as_millis().max(1));
        client.batch_execute(&limit).await.map_err(session.error("set how long to wait for locks"))?;
        // What was waited for until here kept nobody from reading or writing.
        let since = Instant::now();
        let rows = execute(client, migration).await?;
        // A migration may have taken another role; the ledger is ours.
        client.batch_execute("RESET SESSION AUTHORIZATION; RESET ROLE").await.map_err(fails(usize::MAX))?;
        if let Some((before, limit)) = before {
            self.judge(migration, rows, before.locks(session, since).await?, limit)?;
        }
        ledger.record(work, pending, true).await.map_err(fails(usize::MAX))?;
        // What is deferred, such as a constraint, fails here.
        client.batch_execute("COMMIT").await.map_err(fails(usize::MAX))
    }

    /// Tells what the transaction has done; an error where it holds a lock for too long.
    fn judge(
        &self,
        migration: &Migration,
        rows: u64,
        locks: Vec<HeldLock>,
        limit: Duration,
    ) -> Result<(), Error> {
        let late = locks.iter().find(|lock| lock.held.0 > limit).cloned();
        // Nobody listening is no reason to stop.
        let _ = self.progress.send(Progress::Changed { version: migration.version(), rows, locks });
        let file = || migration.file().to_owned();
        late.map_or(Ok(()), |lock| Err(Error::Held { file: file(), lock, limit }))
    }
}

/// Runs the SQL of `migration` as it is written: the server splits it, so that we can't get it wrong. Answers with the rows of all
/// statements.
pub(crate) async fn execute(client: &Client, migration: &Migration) -> Result<u64, Error> {
    let (mut completed, mut rows) = (0, 0);
    let answers = client
        .simple_query_raw(migration.sql())
        .await
        .map_err(|source| Error::statement(migration, 0, source))?;
    let mut answers = pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(SimpleQueryMessage::CommandComplete(of)) => (completed, rows) = (completed + 1, rows + of),
            Ok(_) => {}
            Err(source) => return Err(Error::statement(migration, completed, source)),
        }
    }
    Ok(rows)
}

impl Session {
    /// Ends whatever transaction is open. Where that fails the connection is gone, and the transaction with it.
    pub(crate) async fn rollback(&self) {
        if let Err(error) = self.client().batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "can't roll back: the connection is gone");
        }
    }
}
