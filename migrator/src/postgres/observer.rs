//! A second session that sees who is in the way of the first: a session that waits can't look for itself.

use std::future::Future;
use std::time::Duration;

use cutover_secrets::Secret;

use super::backend::COLUMNS;
use super::{Backend, Backends, Session};
use crate::{Error, Limits};

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// Looks at one session from another one, which is opened only once it is needed.
pub(crate) struct Observer<'a> {
    database: &'a Secret,
    limits: &'a Limits,
    watched: i32,
    session: Option<Session>,
    seen: Backends,
}

impl<'a> Observer<'a> {
    /// An observer of `watched`, not looking yet.
    pub(crate) fn new(database: &'a Secret, watched: &Session, limits: &'a Limits) -> Self {
        Self { database, limits, watched: watched.pid(), session: None, seen: Backends::default() }
    }

    /// Looks from now on. That it can't is no reason to fail: blockers then stay unnamed.
    pub(crate) async fn attend(&mut self) {
        if self.session.is_none() {
            match Session::open(self.database, self.limits).await {
                Ok(session) => self.session = Some(session),
                Err(error) => tracing::warn!(%error, "sessions that are in the way can't be named"),
            }
        }
    }

    /// The sessions that were last seen in the way.
    pub(crate) fn seen(&self) -> Backends {
        self.seen.clone()
    }

    /// Does `work` on the watched session, and meanwhile looks who is in its way, where one looks at all.
    pub(crate) async fn watch<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(session) = &self.session else { return work.await };
        // Twice in the time that a wait for a lock may take, so that none is missed.
        let pause = (self.limits.lock / 2).min(LONGEST);
        tokio::pin!(work);
        loop {
            let look = async {
                tokio::time::sleep(pause).await;
                blockers(session, self.watched).await
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                found = look => match found {
                    Ok(found) if !found.0.is_empty() => self.seen = found,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "sessions that are in the way can't be named");
                        return work.await;
                    }
                },
            }
        }
    }
}

async fn blockers(session: &Session, watched: i32) -> Result<Backends, Error> {
    let blockers = format!(
        "SELECT {COLUMNS} FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1)) ORDER BY a.xact_start"
    );
    let rows = session.client().query(&blockers, &[&watched]).await;
    rows.and_then(|rows| rows.iter().map(Backend::read).collect::<Result<_, _>>().map(Backends))
        .map_err(session.error("see who is in the way"))
}
