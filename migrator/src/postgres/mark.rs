//! A mark by which a database's server is known again, whatever name leads to it.

use super::ledger::is_there;
use super::{Ledger, Session};
use crate::{Error, Limits, Target, Work, ledger};

/// Where a mark is shown to all sessions of its server: the key's halves, whichever database it was set in (PostgreSQL's manual, 54.12).
const SHOWN: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
    AND (classid::bigint << 32) | objid::bigint = $1)";

/// A server may end a session that has nothing to do (from PostgreSQL 14 on).
const PATIENT: &str =
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";

/// An advisory lock, which needs no rights. It is of a server that is written to: a standby has locks of its own.
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    database: Target<'a>,
    session: Session,
    key: i64,
}

impl<'a> Mark<'a> {
    /// Marks `database`, for as long as this lives.
    pub(crate) async fn set(database: Target<'a>, limits: &Limits) -> Result<Self, Error> {
        let (session, key) = (Session::open(database, limits).await?, fastrand::i64(..));
        session.verify_direct(database, limits).await?;
        if is_standby(&session).await? {
            return Err(Error::Unfit { server: session.server().to_owned(), why: "it is a standby" });
        }
        let patient = session.client().batch_execute(PATIENT).await;
        patient.map_err(session.error("set the limits of the session"))?;
        let marked = session.client().execute("SELECT pg_advisory_lock($1)", &[&key]).await;
        marked.map_err(session.error("take an advisory lock"))?;
        Ok(Self { database, session, key })
    }

    /// A session in `copy`, on a server that isn't the one that is marked and doesn't follow another. The database has the mark still.
    pub(crate) async fn open_apart(&self, copy: Target<'_>, limits: &Limits) -> Result<Session, Error> {
        let session = Session::open(copy, limits).await?;
        if is_standby(&session).await? || self.is_shown_to(&session).await? {
            return Err(Error::NoCopy);
        }
        // Asked afterwards: a mark that was gone before would be in no copy.
        let original = Session::open(self.database, limits).await?;
        if !self.is_shown_to(&original).await? {
            return Err(Error::Moved { server: original.server().to_owned() });
        }
        original.close().await;
        Ok(session)
    }

    /// By what number the lock is shown.
    pub(crate) const fn key(&self) -> i64 {
        self.key
    }

    /// Whether `session` is on the marked server.
    pub(crate) async fn is_shown_to(&self, session: &Session) -> Result<bool, Error> {
        let shown = session.client().query_one(SHOWN, &[&self.key]).await;
        shown.and_then(|row| row.try_get(0)).map_err(session.error("look for an advisory lock"))
    }

    /// Whether the marked database lacks any of the migrations, in any phase.
    pub(crate) async fn lacks(&self, work: &Work) -> Result<bool, Error> {
        if !is_there(&self.session).await? {
            return Ok(true);
        }
        let ledger = Ledger { session: &self.session, service: work.service.as_str() };
        Ok(!ledger::has_all(&work.migrations, &ledger.entries().await?))
    }

    /// Whether the marked database lacks any of these versions of Rails' migrations, as far as Rails' own table is where it usually is.
    pub(crate) async fn lacks_versions(&self, versions: &[&str]) -> Result<bool, Error> {
        let client = self.session.client();
        let doing = "ask what Rails has applied";
        let there = client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await;
        if !there.and_then(|row| row.try_get(0)).map_err(self.session.error(doing))? {
            return Ok(true);
        }
        let lacks = "SELECT EXISTS (SELECT FROM unnest($1::text[]) AS wanted(version) \
                     WHERE wanted.version NOT IN (SELECT version FROM schema_migrations))";
        let lacks = client.query_one(lacks, &[&versions]).await;
        lacks.and_then(|row| row.try_get(0)).map_err(self.session.error(doing))
    }

    /// Takes it away.
    pub(crate) async fn remove(self) {
        self.session.close().await;
    }
}

async fn is_standby(session: &Session) -> Result<bool, Error> {
    let standby = session.client().query_one("SELECT pg_is_in_recovery()", &[]).await;
    standby.and_then(|row| row.try_get(0)).map_err(session.error("ask whether it is a standby"))
}
