//! A second session that sees who is in the way of the first, and ends its statements in time: a session that waits can't look
//! for itself, and MySQL's limits are whole seconds, or none.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use cutover_core::Engine;
use tokio::sync::mpsc::UnboundedSender;

use super::Session;
use super::fault::is_fatal;
use super::holders::{Sight, holders};
use super::looks::Looks;
use super::session::Identity;
use crate::{Backends, Error, Fault, Limits, Progress, Target};

/// The time to the first look, where others may have to wait meanwhile.
pub(super) const SHORTEST: Duration = Duration::from_millis(4);

/// What a watched statement is, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch<'a> {
    /// The tables that it changes: whoever holds locks on them is in its way.
    pub(super) tables: &'a [String],
    /// How long it may wait for its locks.
    pub(super) lock: Duration,
    /// How long it may take in all.
    pub(super) statement: Duration,
    /// Whether it goes on without a lock once it has had one, and to end it would cost all that it has done.
    pub(super) builds: bool,
    /// The time to the first look.
    pub(super) first: Duration,
}

/// Looks at one session from another one, which is opened only once it is needed.
pub(super) struct Observer<'a> {
    database: Target<'a>,
    engine: Engine,
    limits: &'a Limits,
    watched: Identity,
    session: Option<(Session, Sight)>,
    seen: Backends,
}

impl<'a> Observer<'a> {
    /// An observer of `watched`, not looking yet.
    pub(super) fn new(database: Target<'a>, watched: &Session, limits: &'a Limits) -> Self {
        let (engine, watched) = (watched.server().engine, watched.identity().clone());
        Self { database, engine, limits, watched, session: None, seen: Backends::default() }
    }

    /// The sessions that were last seen in the way.
    pub(super) fn seen(&self) -> Backends {
        self.seen.clone()
    }

    /// Ends its session.
    pub(super) async fn close(self) {
        if let Some((session, _)) = self.session {
            session.close().await;
        }
    }

    /// Who holds locks on `tables`. That it can't be seen is no reason to fail.
    pub(super) async fn holders(&mut self, tables: &[String]) -> Result<Backends, Error> {
        let watched = i64::from(self.watched.id);
        let (mut session, sight) = self.attend().await?;
        let found = holders(&mut session, sight, tables).await;
        // One that has died is of no use any more: the next look is another one's.
        self.session = Some((session, sight)).filter(|_| !found.as_ref().is_err_and(is_fatal));
        let found = found.unwrap_or_else(|error| {
            tracing::debug!(%error, "holders of locks can't be seen before the migration");
            Backends::default()
        });
        let found = Backends(found.0.into_iter().filter(|backend| backend.id != watched).collect());
        if !found.0.is_empty() {
            self.seen = found.clone();
        }
        Ok(found)
    }

    /// Does `work` on the watched session, looks meanwhile who is in its way, and ends its statement where that takes longer
    /// than `watch` lets it. Ends those who have been in the way for longer than the limits allow, and tells each once it is
    /// done.
    ///
    /// The second value says why the statement was ended, if it was; its error is then that it was cancelled. The watched
    /// session may have a demand to stop left over after that; see [`Session::settle`].
    pub(super) async fn watch<T>(
        &mut self,
        work: impl Future<Output = T>,
        watch: Watch<'_>,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(T, Option<Fault>), Error> {
        let (session, sight) = self.attend().await?;
        let mut looks = Looks::new(session, sight, &self.watched, watch, self.limits.end_blockers);
        let mut work = pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                () = looks.pause() => {}
            }
            // A look isn't left halfway: its session would be of no use afterwards.
            let done = {
                let mut look = pin!(looks.look(progress));
                tokio::select! {
                    biased;
                    done = &mut work => {
                        look.await;
                        Some(done)
                    }
                    () = &mut look => None,
                }
            };
            if let Some(done) = done {
                break done;
            }
            if looks.are_over() {
                tokio::select! {
                    biased;
                    done = &mut work => break done,
                    opened = self.open() => match opened {
                        Ok((session, sight)) => looks.go_on(session, sight),
                        Err(error) => tracing::warn!(%error, "a statement runs that nobody looks at"),
                    },
                }
            }
        };
        let (session, seen, cut) = looks.end();
        self.session = session;
        if !seen.0.is_empty() {
            self.seen = seen;
        }
        Ok((done, cut))
    }

    async fn attend(&mut self) -> Result<(Session, Sight), Error> {
        match self.session.take() {
            Some(there) => Ok(there),
            None => self.open().await,
        }
    }

    /// A session that sees the watched one: on the same server, whatever the address leads to by now.
    async fn open(&self) -> Result<(Session, Sight), Error> {
        let mut session = Session::open(self.database, self.engine, self.limits).await?;
        // It has nothing that others wait for.
        let patient = session.run("SET SESSION wait_timeout = 28800").await;
        patient.map_err(session.error("set the limits of the session"))?;
        let sees = session.sees(&self.watched).await;
        if !sees.map_err(session.error("look for the session that is at work"))? {
            return Err(Error::Moved { server: session.name().to_owned() });
        }
        let sight = Sight::of(&mut session).await;
        Ok((session, sight))
    }
}

/// Why a statement failed, of which its observer has said why it was ended, if it was.
pub(super) fn explain(cut: Option<Fault>, fault: Fault) -> Fault {
    match cut {
        Some(cut) if fault.is_cancelled() => cut,
        _ => fault,
    }
}
