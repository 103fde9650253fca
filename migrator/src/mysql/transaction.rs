//! A statement about rows and its ledger row in one transaction, tried until its locks are given.

use std::time::Instant;

use super::observer::{SHORTEST, Watch, explain};
use super::run::Run;
use crate::ledger::Pending;
use crate::{Error, Fault, Progress};

/// Applies `pending`.
pub(super) async fn run_in_transaction(run: &mut Run<'_>, pending: &Pending<'_>) -> Result<(), Error> {
    let (migration, limits) = (pending.migration, run.limits);
    let (begun, mut tries) = (Instant::now(), 0);
    loop {
        run.prepare(migration).await?;
        tries += 1;
        let Run { session, observer, ledger, work, progress, .. } = run;
        let attempt = async {
            session.run("START TRANSACTION").await?;
            session.run(migration.sql()).await?;
            ledger.write(session, work, pending, true, None).await?;
            session.run("COMMIT").await
        };
        let watch = Watch {
            tables: &[],
            lock: limits.longest_lock,
            statement: limits.statement,
            builds: false,
            first: SHORTEST,
        };
        let (ended, cut) = observer.watch(attempt, watch, progress).await?;
        if cut.is_some() || ended.is_err() {
            run.session.settle().await;
        }
        let Err(error) = ended else { return Ok(()) };
        run.session.rollback().await;
        run.give_up_or_wait(migration, explain(cut, error.into()), tries, begun).await?;
        tokio::time::sleep(limits.lock.mul_f64(1.0 + 3.0 * fastrand::f64())).await;
    }
}

impl Run<'_> {
    /// Tells that a try of `migration`, the last of so many since `begun`, met somebody's lock; an error where it failed
    /// otherwise, or patience is at its end.
    pub(super) async fn give_up_or_wait(
        &mut self,
        migration: &cutover_migration::Migration,
        fault: Fault,
        tries: u32,
        begun: Instant,
    ) -> Result<(), Error> {
        if !fault.is_contention() {
            return Err(Error::statement(migration, 0, fault));
        }
        if begun.elapsed() >= self.limits.patience {
            return Err(self.locked(migration, tries, begun));
        }
        let blockers = self.observer.seen();
        self.tell(Progress::Blocked { version: migration.version(), tries, blockers });
        Ok(())
    }
}
