//! Sessions of others, as the server shows them.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Row;

/// What of `pg_stat_activity` describes a session. Its query is left out: it may hold data that is none of our business.
pub(crate) const COLUMNS: &str = "a.pid, a.usename::text AS role, nullif(a.application_name, '') AS application, a.state, \
     extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age, \
     extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS query_age";

/// A session on the server. What a role without `pg_read_all_stats` may not see is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its process id on the server, for `pg_terminate_backend`.
    pub pid: i32,
    /// The role that it logged in as.
    pub role: Option<String>,
    /// What it calls itself (`application_name`).
    pub application: Option<String>,
    /// What it is doing: `active`, `idle in transaction` …
    pub state: Option<String>,
    /// How long its transaction has been open.
    pub transaction: Option<Duration>,
    /// How long ago its current query, or the last one, was sent.
    pub query: Option<Duration>,
}

impl Backend {
    /// Reads a row that has [`COLUMNS`].
    pub(crate) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let age = |column| {
            row.try_get(column)
                .map(|seconds: Option<f64>| seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()))
        };
        Ok(Self {
            pid: row.try_get("pid")?,
            role: row.try_get("role")?,
            application: row.try_get("application")?,
            state: row.try_get("state")?,
            transaction: age("transaction_age")?,
            query: age("query_age")?,
        })
    }
}

impl Backend {
    /// Whether its transaction has been open for longer than `age`, as far as can be seen.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.transaction.is_some_and(|open| open > age)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(f, "pid {} ({}, role {}", self.pid, unknown(&self.application), unknown(&self.role))?;
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(age) = self.transaction {
            write!(f, ", transaction open for {:.1} s", age.as_secs_f64())?;
        }
        if let Some(age) = self.query {
            write!(f, ", query sent {:.1} s ago", age.as_secs_f64())?;
        }
        f.write_str(")")
    }
}

/// Sessions that are in the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backends(pub Vec<Backend>);

impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("sessions that could not be seen");
        };
        first.fmt(f)?;
        rest.iter().try_for_each(|backend| write!(f, ", {backend}"))
    }
}
