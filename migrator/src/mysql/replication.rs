//! From whom a server takes what is done there, and who takes it from it.

use mysql_async::Row;

use super::{Session, fault};
use crate::Error;

/// By the word of each kind and age of server: all channels that are set up, whether they run or not (MariaDB's knowledge base,
/// SHOW REPLICA STATUS; MySQL's manual, 15.7.7.35, and before 8.0.22).
const MARIADB: &str = "SHOW ALL REPLICAS STATUS";
const MYSQL: &str = "SHOW REPLICA STATUS";
const OLDER: &str = "SHOW SLAVE STATUS";

/// The column with the id of the server at the other end, by either name.
const SOURCE: [&str; 2] = ["Master_Server_Id", "Source_Server_Id"];

/// The ids of the servers that `session`'s is set up to replicate from; 0: it has not been connected to that one yet.
///
/// # Errors
/// Also where the user may not see it: MariaDB's `REPLICA MONITOR`, MySQL's `REPLICATION CLIENT`.
pub(super) async fn sources(session: &mut Session) -> Result<Vec<u64>, Error> {
    let asked = if session.is_mariadb() { MARIADB } else { MYSQL };
    let mut rows = session.query::<Row>(asked).await;
    if rows.as_ref().is_err_and(fault::is_syntax) {
        rows = session.query::<Row>(OLDER).await;
    }
    let rows = rows.map_err(session.error("see whether it replicates from another server"))?;
    let id = |row: &Row| SOURCE.iter().find_map(|name| row.get_opt::<u64, _>(*name)?.ok()).unwrap_or(0);
    Ok(rows.iter().map(id).collect())
}

/// Whether any server is connected that takes what is done, as far as the user may see it (`PROCESS`).
pub(super) async fn has_replicas(session: &mut Session) -> Result<bool, Error> {
    let dumps = "SELECT COUNT(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'";
    let seen = session.query::<u64>(dumps).await;
    let seen = seen.map_err(session.error("see whether another server replicates from it"))?;
    Ok(seen.first().is_some_and(|count| *count > 0))
}

/// What the server is known by to those.
pub(super) async fn id(session: &mut Session) -> Result<u64, Error> {
    let id = session.query::<u64>("SELECT @@server_id").await;
    let id = id.map_err(session.error("ask for the server's id"))?;
    Ok(id.first().copied().unwrap_or(0))
}
