//! One direct session, and the turn that it takes.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::{Client, Connection, NoTls};
use tokio_util::task::AbortOnDropHandle;

use super::activity::COLUMNS;
use super::tls::Tls;
use super::url::Address;
use super::{fault, fence};
use crate::{Backend, Error, Limits, Progress, Target, Work};

/// The key of the advisory lock that migrators take turns by: "cutover" in ASCII, unlikely to be anyone else's.
pub(crate) const TURN: i64 = i64::from_be_bytes(*b"\0cutover");

/// How long to wait between two tries to get the turn, with as much again by chance.
const POLL: Duration = Duration::from_millis(100);

/// How long a server may take to hear that the session ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// A session. Dropped, it is cut off: the server notices within a second, even in mid-statement, and rolls back.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    connection: AbortOnDropHandle<()>,
    pid: i32,
    /// When it began, by the server's clock in seconds. Another session has the same id at another time, or on another server.
    started: f64,
    server: String,
}

impl Session {
    /// Connects to `database`.
    pub(crate) async fn open(database: Target<'_>, limits: &Limits) -> Result<Self, Error> {
        let Address { config, server, trust } = Address::of(database)?;
        let trust = trust.as_ref().map(Tls::new).transpose()?;
        let limit = limits.connect;
        let connect = async {
            Ok(match trust {
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    (client, tokio::spawn(carry(connection)))
                }
                Some(tls) => {
                    let (client, connection) = config.connect(tls).await?;
                    (client, tokio::spawn(carry(connection)))
                }
            })
        };
        let (client, connection) = match tokio::time::timeout(limit, connect).await {
            Ok(connected) => connected.map_err(|source: tokio_postgres::Error| Error::Connect {
                server: server.clone(),
                source: source.into(),
            })?,
            Err(_) => return Err(Error::Silent { server, limit }),
        };
        let connection = AbortOnDropHandle::new(connection);
        let mut session = Self { client, connection, pid: 0, started: 0.0, server };
        session.reset(limits.lock, limits.statement).await?;
        session.pid = session.backend_pid().await?;
        let started = "SELECT extract(epoch FROM backend_start)::float8 FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = session.client.query_one(started, &[]).await;
        session.started =
            row.and_then(|row| row.try_get(0)).map_err(session.error("ask when the session began"))?;
        Ok(session)
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it has come to its end.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What it is known by to another one: its process id, and when it began.
    pub(crate) fn identity(&self) -> (i32, f64) {
        (self.pid, self.started)
    }

    /// Whether the session of that identity is on the same server.
    pub(crate) async fn sees(&self, (pid, started): (i32, f64)) -> Result<bool, Error> {
        let sees = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                    WHERE pid = $1 AND extract(epoch FROM backend_start)::float8 = $2)";
        let row = self.client.query_one(sees, &[&pid, &started]).await;
        row.and_then(|row| row.try_get(0)).map_err(self.error("look for the session that is at work"))
    }

    /// What to call the server and the database.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// An error of something that was done to the ledger or the session.
    pub(crate) fn error(&self, doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
        let server = self.server.clone();
        move |source| match fault::is_pooled(&source) {
            true => Error::Pooled { server },
            false => Error::Ledger { doing, server, source: source.into() },
        }
    }

    /// Undoes whatever a migration has set for the session, and sets how long one wait for a lock and one statement
    /// may take.
    pub(crate) async fn reset(&self, lock: Duration, statement: Duration) -> Result<(), Error> {
        // A migrator that is frozen while it holds locks loses them after 10 s. The server looks whether a killed one's
        // session still has a client, where it knows how (from PostgreSQL 14 on).
        let settings = format!(
            "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; \
             SET lock_timeout = {}; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = '10s'; \
             SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'",
            milliseconds(lock),
            milliseconds(statement),
        );
        self.client.batch_execute(&settings).await.map_err(self.error("set the limits of the session"))
    }

    /// Waits until no other migrator works in this database. The lock is asked for again and again instead of waited
    /// for: a waiting session would hold a snapshot, which CREATE INDEX CONCURRENTLY waits for in turn.
    pub(crate) async fn take_turn(
        &self,
        work: &Work,
        limits: &Limits,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let (mut told, mut ended) = (false, false);
        while !self.try_turn().await? {
            if begun.elapsed() >= fence::GRACE && !ended {
                ended = true;
                fence::end_stale(self, work).await?;
            }
            let late = begun.elapsed() >= limits.turn;
            if late || !told {
                let holder = self.holder().await?;
                if late {
                    let (server, holder) = (self.server.clone(), holder.map(Box::new));
                    return Err(Error::Turn { server, waited: begun.elapsed(), holder });
                }
                // Nobody listening is no reason to stop.
                let _ = progress.send(Progress::Waiting { holder });
                told = true;
            }
            tokio::time::sleep(POLL + POLL.mul_f64(fastrand::f64())).await;
        }
        self.verify().await
    }

    /// Lets others have the turn.
    pub(crate) async fn give_turn(&self) -> Result<(), Error> {
        let given = self.client.execute("SELECT pg_advisory_unlock($1)", &[&TURN]).await;
        given.map(drop).map_err(self.error("give the turn back"))
    }

    async fn try_turn(&self) -> Result<bool, Error> {
        let row = self.client.query_one("SELECT pg_try_advisory_lock($1)", &[&TURN]).await;
        row.and_then(|row| row.try_get(0)).map_err(self.error("ask for the turn"))
    }

    async fn holder(&self) -> Result<Option<Backend>, Error> {
        let holder = format!(
            "SELECT {COLUMNS} FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND (l.classid::bigint << 32) | l.objid::bigint = $1"
        );
        let row = self.client.query_opt(&holder, &[&TURN]).await;
        row.and_then(|row| row.as_ref().map(Backend::read).transpose())
            .map_err(self.error("see who has the turn"))
    }

    /// Checks that this is still the session that took the turn.
    ///
    /// # Errors
    /// When a pooler gives each transaction another session: the turn would be somebody else's.
    pub(crate) async fn verify(&self) -> Result<(), Error> {
        if self.backend_pid().await? == self.pid {
            Ok(())
        } else {
            Err(Error::Pooled { server: self.server.clone() })
        }
    }

    /// Checks that another connection is another session, while this one has nothing to do: a pooler would give it ours.
    ///
    /// # Errors
    /// Those of [`Session::open`] and [`Session::verify`].
    pub(crate) async fn verify_direct(&self, database: Target<'_>, limits: &Limits) -> Result<(), Error> {
        // What is still under way, such as that a statement isn't needed any more, would keep our session ours.
        let idle = self.client.batch_execute("SELECT 1").await;
        idle.map_err(self.error("ask for the session's id"))?;
        let other = Self::open(database, limits).await?;
        if other.identity() == self.identity() {
            return Err(Error::Pooled { server: self.server.clone() });
        }
        let verified = self.verify().await;
        other.close().await;
        verified
    }

    async fn backend_pid(&self) -> Result<i32, Error> {
        let row = self.client.query_one("SELECT pg_backend_pid()", &[]).await;
        row.and_then(|row| row.try_get(0)).map_err(self.error("ask for the session's id"))
    }

    /// Ends the session in good order.
    pub(crate) async fn close(self) {
        drop(self.client);
        // One that doesn't end by itself is cut off.
        let _ = tokio::time::timeout(GOODBYE, self.connection).await;
    }
}

/// Carries a session's messages until it ends.
async fn carry<S, T>(connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(error) = connection.await {
        // Whoever was waiting for an answer has the same error.
        tracing::debug!(%error, "the connection to the database ended");
    }
}

/// A time as PostgreSQL's settings take it. Zero would mean no limit.
fn milliseconds(time: Duration) -> u128 {
    time.as_millis().clamp(1, i32::MAX as u128)
}
