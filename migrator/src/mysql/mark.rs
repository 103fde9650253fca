//! A mark by which a database's server is known again, whatever name leads to it.

use super::ledger::is_there;
use super::{Ledger, Session};
use crate::{Error, Limits, Target, Work, ledger};

/// A lock with a name: it is one server's (MySQL's manual, 14.14).
#[derive(Debug)]
pub(crate) struct Mark {
    session: Session,
    name: String,
}

impl Mark {
    /// Marks `database`, for as long as this lives.
    pub(crate) async fn set(database: Target<'_>, work: &Work, limits: &Limits) -> Result<Self, Error> {
        let mut session = Session::open(database, work.engine, limits).await?;
        let name = format!("cutover mark {:016x}", fastrand::u64(..));
        // Nobody else can have it.
        let marked = session.rows::<Option<i64>>("SELECT GET_LOCK(?, 0)", (name.as_str(),)).await;
        marked.map_err(session.error("take a lock with a name"))?;
        Ok(Self { session, name })
    }

    /// Whether `database` is on the server that is marked: a statement that names another database there would change that one.
    pub(crate) async fn is_in(
        &self,
        database: Target<'_>,
        work: &Work,
        limits: &Limits,
    ) -> Result<bool, Error> {
        let mut session = Session::open(database, work.engine, limits).await?;
        let asked = session.rows::<Option<i64>>("SELECT IS_FREE_LOCK(?)", (self.name.as_str(),)).await;
        let asked = asked.map_err(session.error("look for a lock with a name"))?;
        session.close().await;
        Ok(asked.first() != Some(&Some(1)))
    }

    /// Whether the marked database lacks any of the migrations, in any phase.
    pub(crate) async fn lacks(&mut self, work: &Work) -> Result<bool, Error> {
        if !is_there(&mut self.session).await? {
            return Ok(true);
        }
        let ledger = Ledger { service: work.service.as_str() };
        Ok(!ledger::has_all(&work.migrations, &ledger.entries(&mut self.session).await?))
    }

    /// Takes it away.
    pub(crate) async fn remove(self) {
        self.session.close().await;
    }
}
