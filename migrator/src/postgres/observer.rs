//! A second session that sees who is in the way of the first: a session that waits can't look for itself.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Session;
use super::activity::COLUMNS;
use crate::{Backend, Backends, Error, Limits, Progress, Target};

/// The time to the first look.
const SHORTEST: Duration = Duration::from_millis(8);

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// How long it may take until a cancelled query, or a session that was ended, is out of the way.
const GRACE: Duration = Duration::from_secs(1);

/// Looks at one session from another one, which is opened only once it is needed.
pub(crate) struct Observer<'a> {
    database: Target<'a>,
    limits: &'a Limits,
    watched: (i32, f64),
    session: Option<Session>,
    seen: Backends,
    /// Whom the server was asked to end, and when last.
    ended: Vec<(i64, Instant)>,
}

impl<'a> Observer<'a> {
    /// An observer of `watched`, not looking yet.
    pub(crate) fn new(database: Target<'a>, watched: &Session, limits: &'a Limits) -> Self {
        Self {
            database,
            limits,
            watched: watched.identity(),
            session: None,
            seen: Backends::default(),
            ended: Vec::new(),
        }
    }

    /// Looks from now on. That it can't is no reason to fail: blockers then stay unnamed.
    pub(crate) async fn attend(&mut self) {
        // One that has died, as at a failover, is of no use any more.
        if self.session.as_ref().is_none_or(Session::is_closed) {
            match self.open().await {
                Ok(session) => self.session = Some(session),
                Err(error) => tracing::warn!(%error, "sessions that are in the way can't be named"),
            }
        }
    }

    /// A session that sees the watched one: on the same server, whatever the address leads to by now. On another one, whoever
    /// is in the way of a session of that id would be somebody else.
    async fn open(&self) -> Result<Session, Error> {
        let session = Session::open(self.database, self.limits).await?;
        if session.sees(self.watched).await? {
            Ok(session)
        } else {
            Err(Error::Moved { server: session.server().to_owned() })
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
        let Self { session: Some(session), limits, watched: (watched, _), seen, ended, .. } = self else {
            return work.await;
        };
        // More than once in the shortest wait that is watched; what takes long is looked at less and less.
        let mut pause = SHORTEST;
        tokio::pin!(work);
        loop {
            let look = async {
                tokio::time::sleep(pause).await;
                blockers(session, *watched).await
            };
            let found = tokio::select! {
                biased;
                done = &mut work => return done,
                found = look => found,
            };
            match found {
                Ok(found) if !found.0.is_empty() => *seen = found,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "sessions that are in the way can't be named");
                    return work.await;
                }
            }
            pause = pause.mul_f64(1.5).min(LONGEST);
            let Some(age) = limits.end_blockers else { continue };
            if seen.0.iter().any(|backend| backend.is_older_than(age)) {
                let end = async {
                    let now = end(session, *watched, age, ended).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "what is in the way stays in the way");
                        Vec::new()
                    });
                    for (blocker, closed) in now {
                        ended.retain(|(id, _)| *id != blocker.id);
                        ended.push((blocker.id, Instant::now()));
                        tracing::warn!(%blocker, closed, "a transaction that was in the way is ended");
                        // Nobody listening is no reason to stop.
                        let _ = progress.send(Progress::Ended { blocker, closed });
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
/// cancelled, which ends its transaction but for what stood before a savepoint. A session that is idle in one has nothing to
/// cancel, so it is closed, as is one that is still in the way a while after its query was. Whoever is in the way is asked for
/// again in the same statement, as a moment ago it may have been somebody else. Answers with each, and whether it was closed.
async fn end(
    session: &Session,
    watched: i32,
    age: Duration,
    ended: &[(i64, Instant)],
) -> Result<Vec<(Backend, bool)>, Error> {
    let (early, late): (Vec<_>, Vec<_>) = ended.iter().partition(|(_, at)| at.elapsed() < GRACE);
    let [early, late] = [early, late].map(|all| all.into_iter().map(|(id, _)| id).collect::<Vec<i64>>());
    // The signals stand outside of the condition: the server is free to look at the parts of one in any order.
    let end = format!(
        "WITH a AS MATERIALIZED (SELECT * FROM pg_stat_activity a \
         WHERE a.pid = ANY (pg_blocking_pids($1)) AND a.pid <> ALL ($3::bigint[]) AND a.backend_type = 'client backend' \
         AND clock_timestamp() - a.xact_start > $2::float8 * interval '1 second') \
         SELECT {COLUMNS}, CASE WHEN a.state = 'active' AND a.pid <> ALL ($4::bigint[]) \
         THEN NOT pg_cancel_backend(a.pid) ELSE pg_terminate_backend(a.pid) END AS closed FROM a"
    );
    let rows = session.client().query(&end, &[&watched, &age.as_secs_f64(), &early, &late]).await;
    rows.and_then(|rows| rows.iter().map(|row| Ok((Backend::read(row)?, row.try_get("closed")?))).collect())
        .map_err(session.error("end a transaction that is in the way"))
}
