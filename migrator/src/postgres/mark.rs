//! A mark by which a database is known again, whatever name leads to it.

use super::ledger::is_there;
use super::{Ledger, Session};
use crate::{Error, Limits, Target, Work, ledger};

/// An advisory lock: it is one database's (PostgreSQL's manual, 13.3.5), and needs no rights.
#[derive(Debug)]
pub(crate) struct Mark {
    session: Session,
    key: i64,
}

impl Mark {
    /// Marks `database`, for as long as this lives.
    pub(crate) async fn set(database: Target<'_>, limits: &Limits) -> Result<Self, Error> {
        let (session, key) = (Session::open(database, limits).await?, fastrand::i64(..));
        session.verify_direct(database, limits).await?;
        let marked = session.client().execute("SELECT pg_advisory_lock($1)", &[&key]).await;
        marked.map_err(session.error("take an advisory lock"))?;
        Ok(Self { session, key })
    }

    /// Whether `database` is the one that is marked.
    pub(crate) async fn is_in(&self, database: Target<'_>, limits: &Limits) -> Result<bool, Error> {
        let session = Session::open(database, limits).await?;
        let free = session.client().query_one("SELECT pg_try_advisory_lock($1)", &[&self.key]).await;
        let free: bool =
            free.and_then(|row| row.try_get(0)).map_err(session.error("look for an advisory lock"))?;
        session.close().await;
        Ok(!free)
    }

    /// Whether the marked database lacks any of the migrations, in any phase.
    pub(crate) async fn lacks(&self, work: &Work) -> Result<bool, Error> {
        if !is_there(&self.session).await? {
            return Ok(true);
        }
        let ledger = Ledger { session: &self.session, service: work.service.as_str() };
        Ok(!ledger::has_all(&work.migrations, &ledger.entries().await?))
    }

    /// Takes it away.
    pub(crate) async fn remove(self) {
        self.session.close().await;
    }
}
