//! Schema changes on PostgreSQL, made so that the version that serves doesn't notice.
//!
//! What a migration is stands in `cutover_migration`; the pure part here knows what the ledger in the database allows
//! ([`ledger`]), how hard a lock is asked for ([`ladder`]) and how many rows a batch has ([`pace`]). The adapter ([`apply()`])
//! holds one session, takes turns with other migrators, and keeps every wait for a lock so short that nothing queues behind
//! it for long. A Rails application's own migrations are run by its own Rails, on a host.

mod apply;
mod error;
pub mod ladder;
pub mod ledger;
mod limits;
pub mod pace;
mod postgres;
mod progress;
mod rails;
mod work;
mod worker;

pub use apply::apply;
pub use error::{Error, Location};
pub use limits::Limits;
pub use postgres::{Backend, Backends};
pub use progress::Progress;
pub use work::{Applied, Step, Work};
pub use worker::Migrator;
