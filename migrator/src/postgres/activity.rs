//! Sessions of others, as `pg_stat_activity` shows them.

use std::time::Duration;

use tokio_postgres::Row;

use crate::Backend;

/// What of `pg_stat_activity` describes a session. Its query is left out: it may hold data that is none of our business.
pub(crate) const COLUMNS: &str = "a.pid, a.usename::text AS role, nullif(a.application_name, '') AS application, a.state, \
     extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age, \
     extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS query_age";

impl Backend {
    /// Reads a row that has [`COLUMNS`].
    pub(crate) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let age = |column| {
            row.try_get(column)
                .map(|seconds: Option<f64>| seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()))
        };
        Ok(Self {
            id: row.try_get::<_, i32>("pid")?.into(),
            role: row.try_get("role")?,
            application: row.try_get("application")?,
            state: row.try_get("state")?,
            transaction: age("transaction_age")?,
            query: age("query_age")?,
        })
    }
}
