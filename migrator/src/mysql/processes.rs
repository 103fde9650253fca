//! Sessions of others, as the server shows them.

use std::time::Duration;

use mysql_async::Row;

use super::Session;
use crate::{Backend, Backends};

/// How sessions are asked for on a server. What they run is left out: it may hold data that is none of our business.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processes {
    is_mariadb: bool,
}

impl Processes {
    /// Those of the server of `session`.
    pub(super) fn of(session: &Session) -> Self {
        Self { is_mariadb: session.is_mariadb() }
    }

    /// The query for those of which `condition` holds, the oldest transaction first: `p` is the session, `t` its transaction,
    /// if it has one. A transaction's begin is known to the second, in the zone of the server; one that was idle for longer is
    /// older than that.
    pub(super) fn query(self, condition: &str) -> String {
        let since = if self.is_mariadb { "p.time_ms / 1000" } else { "p.time" };
        format!(
            "SELECT p.id, p.user, p.host, IF(p.command = 'Sleep' AND t.trx_id IS NOT NULL, 'idle in transaction', p.command), \
             GREATEST({since}, COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) - 1, 0)) + 0e0 AS open_for, \
             {since} + 0e0 AS since \
             FROM information_schema.processlist p LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id \
             WHERE p.id <> CONNECTION_ID() AND p.user NOT IN ('system user', 'event_scheduler') AND ({condition}) \
             ORDER BY open_for DESC, since DESC"
        )
    }

    /// The sessions of which `condition` holds.
    pub(super) async fn find(
        self,
        session: &mut Session,
        condition: &str,
    ) -> Result<Backends, mysql_async::Error> {
        let rows = session.query::<Row>(&self.query(condition)).await?;
        Ok(Backends(rows.into_iter().map(read).collect()))
    }

    /// The sessions of `ids`.
    pub(super) async fn only(
        self,
        session: &mut Session,
        ids: &[u64],
    ) -> Result<Backends, mysql_async::Error> {
        if ids.is_empty() {
            return Ok(Backends::default());
        }
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        self.find(session, &format!("p.id IN ({})", ids.join(", "))).await
    }
}

/// Reads a row of [`Processes::query`].
fn read(mut row: Row) -> Backend {
    let text = |row: &mut Row, at: usize| row.take::<Option<String>, _>(at).flatten();
    let age = |row: &mut Row, at: usize| {
        let seconds = row.take::<Option<f64>, _>(at).flatten();
        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
    };
    Backend {
        id: row.take::<Option<i64>, _>(0).flatten().unwrap_or_default(),
        role: text(&mut row, 1),
        application: text(&mut row, 2),
        state: text(&mut row, 3),
        transaction: age(&mut row, 4),
        query: age(&mut row, 5),
    }
}
