//! A mark by which a database's server is known again, whatever name leads to it.

use super::ledger::is_there;
use super::{Ledger, Session};
use crate::{Error, Limits, Target, Work, ledger};

/// Where a mark is shown to all sessions of its server: the key's halves, whichever database it was set in (PostgreSQL's manual, 54.12).
const SHOWN: &str = "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
    AND (classid::bigint << 32) | objid::bigint = $1)";

/// An advisory lock, which needs no rights. It is of a server that is written to: a standby has locks of its own.
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
        let standby = session.client().query_one("SELECT pg_is_in_recovery()", &[]).await;
        if standby.and_then(|row| row.try_get(0)).map_err(session.error("ask whether it is a standby"))? {
            return Err(Error::Unfit { server: session.server().to_owned(), why: "it is a standby" });
        }
        let marked = session.client().execute("SELECT pg_advisory_lock($1)", &[&key]).await;
        marked.map_err(session.error("take an advisory lock"))?;
        Ok(Self { session, key })
    }

    /// Whether `database` is on the server that is marked, or on one that follows another.
    pub(crate) async fn is_in(&self, database: Target<'_>, limits: &Limits) -> Result<bool, Error> {
        let session = Session::open(database, limits).await?;
        let shown = session.client().query_one(SHOWN, &[&self.key]).await;
        let shown = shown.and_then(|row| row.try_get(0));
        let shown: bool = shown.map_err(session.error("look for an advisory lock"))?;
        session.close().await;
        Ok(shown)
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
