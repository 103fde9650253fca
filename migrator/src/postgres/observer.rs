//! A second session that sees who is in the way of the first: a session that waits can't look for itself.

use std::future::Future;
use std::time::Duration;

use cutover_secrets::Secret;
use tokio::sync::mpsc::UnboundedSender;

use super::Session;
use super::activity::COLUMNS;
use crate::{Backend, Backends, Error, Limits, Progress};

/// The time to the first look.
const SHORTEST: Duration = Duration::from_millis(8);

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

    /// Does `work` on the watched session, and meanwhile looks who is in its way, where one looks at all. Ends those who have
    /// been in the way for longer than the limits allow, and tells each once it is done.
    pub(crate) async fn watch<T>(
        &mut self,
        work: impl Future<Output = T>,
        progress: &UnboundedSender<Progress>,
    ) -> T {
        let Some(session) = &self.session else { return work.await };
        // More than once in the shortest wait that is watched; what takes long is looked at less and less.
        let mut pause = SHORTEST;
        // Each once: it takes a moment to be gone.
        let mut ended: Vec<i64> = Vec::new();
        tokio::pin!(work);
        loop {
            let look = async {
                tokio::time::sleep(pause).await;
                blockers(session, self.watched).await
            };
            let found = tokio::select! {
                biased;
                done = &mut work => return done,
                found = look => found,
            };
            match found {
                Ok(found) if !found.0.is_empty() => self.seen = found,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "sessions that are in the way can't be named");
                    return work.await;
                }
            }
            pause = pause.mul_f64(1.5).min(LONGEST);
            let Some(age) = self.limits.end_blockers else { continue };
            if self.seen.0.iter().any(|backend| backend.is_older_than(age)) {
                let end = async {
                    let now = end(session, self.watched, age, &ended).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "what is in the way stays in the way");
                        Vec::new()
                    });
                    for blocker in now {
                        ended.push(blocker.id);
                        // Nobody listening is no reason to stop.
                        let _ = progress.send(Progress::Ended { blocker });
                    }
                };
                // The work may end before we hear that this has: it is told all the same.
                tokio::pin!(end);
                tokio::select! {
                    done = &mut work => {
                        end.await;
                        return done;
                    }
                    () = &mut end => {}
                }
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

/// Ends the transactions of clients that are older than `age` and that `watched` waits for: a query that runs is
/// cancelled, which ends its transaction; a session that is idle in one has nothing to cancel, so it is closed. Whoever is
/// in the way is asked for again in the same statement, as a moment ago it may have been somebody else.
async fn end(session: &Session, watched: i32, age: Duration, except: &[i64]) -> Result<Vec<Backend>, Error> {
    // The signals stand outside of the condition: the server is free to look at the parts of one in any order.
    let end = format!(
        "WITH a AS MATERIALIZED (SELECT * FROM pg_stat_activity a \
         WHERE a.pid = ANY (pg_blocking_pids($1)) AND a.pid <> ALL ($3::bigint[]) AND a.backend_type = 'client backend' \
         AND clock_timestamp() - a.xact_start > $2::float8 * interval '1 second') \
         SELECT {COLUMNS}, CASE a.state WHEN 'active' THEN pg_cancel_backend(a.pid) \
         ELSE pg_terminate_backend(a.pid) END AS ended FROM a"
    );
    let rows = session.client().query(&end, &[&watched, &age.as_secs_f64(), &except]).await;
    rows.and_then(|rows| rows.iter().map(Backend::read).collect())
        .map_err(session.error("end a transaction that is in the way"))
}
