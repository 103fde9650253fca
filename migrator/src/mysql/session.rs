//! One direct session.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cutover_core::Engine;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, Params, Row};

use super::fault;
use super::server::{Server, VARIABLES};
use super::url::{Address, Mode};
use crate::{Error, Fault, Limits, Target};

/// How long a server may take to hear that a session ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long it may take to end a session that was left in mid-statement.
const END: Duration = Duration::from_secs(10);

/// What a statement is read and run with, whatever the server's defaults are: our own reading of a migration knows neither
/// ANSI_QUOTES nor NO_BACKSLASH_ESCAPES, and a value that doesn't fit is an error rather than another value.
const MODE: &str = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// How long the server may hear nothing of a session before it ends it, and lets go of the turn: in seconds. A migrator whose
/// machine has vanished can't take leave.
const SILENCE: u32 = 30;

/// How long a session may have nothing to do before it lets itself be heard.
const PING: Duration = Duration::from_secs(10);

/// A session. Dropped in mid-statement, it is ended by another one: the server would go on with the statement otherwise.
pub(crate) struct Session {
    /// None once it is closed.
    connection: Option<Conn>,
    options: Opts,
    name: String,
    identity: Identity,
    server: Server,
}

/// What a session is known by to another one: its id, and a lock of the server's that it alone has. Behind an address may stand
/// another server a moment later, where the id is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its id on the server.
    pub(super) id: u32,
    lock: String,
}

impl Identity {
    /// The statement that ends what the session does. On a server that doesn't have it, it is an error and ends nothing.
    pub(super) fn kill_query(&self) -> String {
        format!("KILL QUERY IS_USED_LOCK('{}')", self.lock)
    }

    fn kill(&self) -> String {
        format!("KILL IS_USED_LOCK('{}')", self.lock)
    }
}

/// Without what it connects with, which has the password.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, identity, server, .. } = self;
        f.debug_struct("Session")
            .field("name", name)
            .field("identity", identity)
            .field("server", server)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects to `database`, which is to be a server of `engine`.
    pub(super) async fn open(database: Target<'_>, engine: Engine, limits: &Limits) -> Result<Self, Error> {
        let address = Address::of(database)?;
        let (name, limit) = (address.server.clone(), limits.connect);
        let connect = async {
            let options = Opts::from(address.secured()?);
            match Conn::new(options.clone()).await {
                Err(error) if address.mode == Mode::Preferred && fault::has_no_tls(&error) => {
                    let options = Opts::from(address.options.clone());
                    Ok::<_, Error>((Conn::new(options.clone()).await, options))
                }
                connected => Ok((connected, options)),
            }
        };
        let (connected, options) = match tokio::time::timeout(limit, connect).await {
            Ok(tried) => tried?,
            Err(_) => return Err(Error::Silent { server: name, limit }),
        };
        let mut connection =
            connected.map_err(|source| Error::Connect { server: name.clone(), source: source.into() })?;
        let asked = connection.query::<(String, String), _>(VARIABLES).await;
        let variables: BTreeMap<String, String> =
            asked.map_err(|source| doing("look at the server", &name, source))?.into_iter().collect();
        let server = Server::read(&variables, engine, &name)?;
        let lock = format!("cutover.session.{:032x}", fastrand::u128(..));
        let identity = Identity { id: connection.id(), lock };
        let mut session = Self { connection: Some(connection), options, name, identity, server };
        session.verify().await?;
        session.reset().await?;
        let lock = session.identity.lock.clone();
        session.try_lock(&lock).await?;
        Ok(session)
    }

    /// What it is known by to another one.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the session of `identity` is on the same server.
    pub(super) async fn sees(&mut self, identity: &Identity) -> Result<bool, mysql_async::Error> {
        let holder = self.rows::<Option<u64>>("SELECT IS_USED_LOCK(?)", (identity.lock.as_str(),)).await?;
        // The greeting has no room for more than 32 bits.
        Ok(holder
            .first()
            .copied()
            .flatten()
            .is_some_and(|id| id & u64::from(u32::MAX) == u64::from(identity.id)))
    }

    /// Does nothing for `time`, and lets the server know all along that it is there.
    pub(super) async fn idle(&mut self, time: Duration) -> Result<(), mysql_async::Error> {
        let mut left = time;
        while left > PING {
            tokio::time::sleep(PING).await;
            self.run("DO 0").await?;
            left -= PING;
        }
        tokio::time::sleep(left).await;
        Ok(())
    }

    /// What to call the server and the database.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the server is.
    pub(super) fn server(&self) -> Server {
        self.server
    }

    /// Whether it is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.server.engine == Engine::Mariadb
    }

    /// An error of something that was done to the ledger or the session.
    pub(super) fn error(&self, what: &'static str) -> impl FnOnce(mysql_async::Error) -> Error + use<> {
        let name = self.name.clone();
        move |source| doing(what, &name, source)
    }

    /// Runs what answers nothing that matters.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), mysql_async::Error> {
        self.connection()?.query_drop(sql).await
    }

    /// Runs a query.
    pub(super) async fn query<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
    ) -> Result<Vec<T>, mysql_async::Error> {
        self.connection()?.query(sql).await
    }

    /// Runs statements, the last of which is a query of one row at most.
    pub(super) async fn last_row(&mut self, sql: &str) -> Result<Option<Row>, mysql_async::Error> {
        let mut answer = self.connection()?.query_iter(sql).await?;
        let mut last = None;
        while !answer.is_empty() {
            last = answer.collect::<Row>().await?.pop();
        }
        Ok(last)
    }

    /// Runs a query with values for its question marks.
    pub(super) async fn rows<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        values: impl Into<Params> + Send,
    ) -> Result<Vec<T>, mysql_async::Error> {
        self.connection()?.exec(sql, values.into()).await
    }

    /// Runs a statement with values for its question marks; how many rows it has changed.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        values: impl Into<Params> + Send,
    ) -> Result<u64, mysql_async::Error> {
        let connection = self.connection()?;
        connection.exec_drop(sql, values.into()).await?;
        Ok(connection.affected_rows())
    }

    /// The connection, for what has an answer of its own form.
    pub(super) fn connection(&mut self) -> Result<&mut Conn, mysql_async::Error> {
        let closed = || mysql_async::Error::from(mysql_async::DriverError::ConnectionClosed);
        self.connection.as_mut().ok_or_else(closed)
    }

    /// Sets what a statement can set for the session back to what is known, and how long it waits for a lock at most, which
    /// the server counts in whole seconds. What it could keep from us, COM_RESET_CONNECTION would take our turn with.
    pub(super) async fn reset(&mut self) -> Result<(), Error> {
        let isolation = if self.server.logs_statements { "REPEATABLE READ" } else { "READ COMMITTED" };
        // A migrator that is frozen while it holds locks loses them after 10 s, where the server knows how. Limits of the
        // server's own are for its applications.
        let limits = if self.is_mariadb() {
            "idle_transaction_timeout = 10, max_statement_time = 0"
        } else {
            "max_execution_time = 0"
        };
        let database = self.options.db_name().unwrap_or_default().replace('`', "``");
        let settings = format!(
            "USE `{database}`; SET NAMES utf8mb4; SET SESSION TRANSACTION ISOLATION LEVEL {isolation}; \
             SET SESSION autocommit = 1, sql_mode = '{MODE}', foreign_key_checks = 1, unique_checks = 1, \
             time_zone = DEFAULT, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1, wait_timeout = {SILENCE}, {limits}"
        );
        let set = self.run(&settings).await;
        set.map_err(self.error("set the limits of the session"))
    }

    /// Checks that this is still the session that the server greeted us in.
    ///
    /// # Errors
    /// When something between us and the server gives each statement another session: the turn would be somebody else's.
    pub(super) async fn verify(&mut self) -> Result<(), Error> {
        // A proxy answers for itself when it is asked for the id alone.
        let asked = self.query::<(u64, u64)>("SELECT CONNECTION_ID(), @@server_id").await;
        let asked = asked.map_err(self.error("ask for the session's id"))?;
        // The greeting has no room for more than 32 bits.
        if asked.first().is_some_and(|(id, _)| *id & u64::from(u32::MAX) == u64::from(self.identity.id)) {
            Ok(())
        } else {
            Err(Error::Pooled { server: self.name.clone() })
        }
    }

    /// Waits until no demand to stop is left over, which would hit the next statement.
    pub(super) async fn settle(&mut self) {
        if let Err(error) = self.run("DO 0").await {
            tracing::debug!(%error, "a demand to stop came late");
        }
    }

    /// Ends whatever transaction is open. Where that fails the connection is gone, and the transaction with it.
    pub(super) async fn rollback(&mut self) {
        if let Err(error) = self.run("ROLLBACK").await {
            tracing::debug!(%error, "can't roll back: the connection is gone");
        }
    }

    /// Ends the session in good order.
    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // One that doesn't end by itself is cut off.
            let _ = tokio::time::timeout(GOODBYE, connection.disconnect()).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (Some(connection), Ok(runtime)) = (self.connection.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (options, kill) = (self.options.clone(), self.identity.kill());
        runtime.spawn(async move {
            let end = async {
                let mut other = Conn::new(options).await?;
                other.query_drop(kill).await?;
                other.disconnect().await
            };
            if let Ok(Err(error)) = tokio::time::timeout(END, end).await {
                tracing::debug!(%error, "a session that was left may be at work still; the next one ends it");
            }
            drop(connection);
        });
    }
}

fn doing(doing: &'static str, server: &str, source: mysql_async::Error) -> Error {
    Error::Ledger { doing, server: server.to_owned(), source: Fault::from(source) }
}
