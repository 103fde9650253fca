//! A mark by which a database's server is known again, whatever name leads to it.

use cutover_core::Engine;

use super::ledger::is_there;
use super::replication::{has_replicas, id, sources};
use super::{Ledger, Session};
use crate::{Error, Limits, Target, Work, ledger};

/// A lock with a name: it is one server's (MySQL's manual, 14.14).
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    database: Target<'a>,
    engine: Engine,
    session: Session,
    name: String,
    /// From whom the marked server replicates.
    sources: Vec<u64>,
}

impl<'a> Mark<'a> {
    /// Marks `database`, for as long as this lives.
    pub(crate) async fn set(database: Target<'a>, engine: Engine, limits: &Limits) -> Result<Self, Error> {
        let mut session = Session::open(database, engine, limits).await?;
        // It has nothing to do, for as long as the rehearsal lasts.
        let patient = session.run("SET SESSION wait_timeout = 604800").await;
        patient.map_err(session.error("set the limits of the session"))?;
        let name = format!("cutover mark {:016x}", fastrand::u64(..));
        // Nobody else can have it.
        let marked = session.rows::<Option<i64>>("SELECT GET_LOCK(?, 0)", (name.as_str(),)).await;
        marked.map_err(session.error("take a lock with a name"))?;
        let sources = sources(&mut session).await?;
        Ok(Self { database, engine, session, name, sources })
    }

    /// A session in `copy`, on a server that isn't the one that is marked, as a statement that names another database there would
    /// change that one, and that stands apart: nothing that is done there is done elsewhere, or comes from elsewhere. The database
    /// has the mark still.
    pub(crate) async fn open_apart(&self, copy: Target<'_>, limits: &Limits) -> Result<Session, Error> {
        let mut session = Session::open(copy, self.engine, limits).await?;
        if let Err(error) = self.find_apart(&mut session).await {
            session.close().await;
            return Err(error);
        }
        // Asked afterwards: a mark that was gone before would be in no copy.
        let mut original = Session::open(self.database, self.engine, limits).await?;
        if !self.is_shown_to(&mut original).await? {
            return Err(Error::Moved { server: original.name().to_owned() });
        }
        original.close().await;
        Ok(session)
    }

    async fn find_apart(&self, session: &mut Session) -> Result<(), Error> {
        if self.is_shown_to(session).await? {
            return Err(Error::NoCopy);
        }
        let server = session.name().to_owned();
        let is_tied = |why| Err(Error::Tied { server, why });
        if session.server().shares_writes {
            return is_tied("it is a member of a group with several primaries");
        }
        if !sources(session).await?.is_empty() {
            return is_tied("it replicates from another server, or is set up to");
        }
        if has_replicas(session).await? {
            return is_tied("another server replicates from it");
        }
        let id = id(session).await?;
        // The id is known once they have been connected.
        if self.sources.iter().any(|source| *source == id || *source == 0) {
            return is_tied("the database replicates from it, or from a server that is not known yet");
        }
        Ok(())
    }

    async fn is_shown_to(&self, session: &mut Session) -> Result<bool, Error> {
        let asked = session.rows::<Option<i64>>("SELECT IS_FREE_LOCK(?)", (self.name.as_str(),)).await;
        let asked = asked.map_err(session.error("look for a lock with a name"))?;
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
