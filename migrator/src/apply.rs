//! The three phases of migrations on a database, whichever it is.

use cutover_core::Engine;
use cutover_secrets::Secret;
use tokio::sync::mpsc::UnboundedSender;

use crate::{Applied, Error, Limits, Progress, Step, Target, Work, mysql, postgres};

/// Applies what is due of `step`, each migration once, whoever else tries at the same time. What is done is told to
/// `progress`; a receiver that is gone is no error.
///
/// Cancel-safe: dropped in mid-migration, the session is ended and the server rolls back, or leaves what is unfinished to be
/// found by its intent in the ledger; a backfill goes on from its last batch. So to pause one is to drop it, and to resume it
/// is to ask for it again.
///
/// # Errors
/// When the database can't be reached, the ledger refuses, locks aren't given in time or a statement fails; see [`Error`].
pub async fn apply(
    database: impl Into<Target<'_>>,
    step: Step,
    work: &Work,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<Applied, Error> {
    let database = database.into();
    match work.engine {
        Engine::Postgresql => postgres::apply(database, step, work, limits, progress).await,
        Engine::Mysql | Engine::Mariadb => mysql::apply(database, step, work, limits, progress).await,
    }
}

/// The host and the port of a database's server.
///
/// # Errors
/// A URL that can't be read, or names no host.
pub(crate) fn place(url: &Secret, engine: Engine) -> Result<(String, u16), Error> {
    match engine {
        Engine::Postgresql => postgres::place(url),
        Engine::Mysql | Engine::Mariadb => mysql::place(url),
    }
}
