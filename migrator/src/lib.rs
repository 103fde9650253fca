//! Schema changes on PostgreSQL, MySQL and MariaDB, made so that the version that serves doesn't notice.
//!
//! What a migration is stands in `cutover_migration`; the pure part here knows what the ledger in the database allows
//! ([`ledger`]), how hard a lock is asked for ([`ladder`]) and how many rows a batch has ([`pace`]). The adapter ([`apply()`])
//! holds one session, takes turns with other migrators, and keeps every wait for a lock so short that nothing queues behind
//! it for long. A Rails application's own migrations are run by its own Rails, on a host.

mod apply;
mod backend;
mod error;
mod fault;
pub mod ladder;
pub mod ledger;
mod limits;
mod location;
mod mysql;
pub mod pace;
mod percent;
mod postgres;
mod progress;
mod rails;
mod rehearsal;
mod rehearsing;
mod roots;
mod target;
mod tunnel;
mod work;
mod worker;

pub use apply::apply;
pub use backend::{Backend, Backends};
pub use error::Error;
pub use fault::Fault;
pub use limits::Limits;
pub use location::Location;
pub use progress::Progress;
pub use rehearsal::{Protocol, rehearse};
pub use target::Target;
pub use work::{Applied, Step, Work};
pub use worker::Migrator;
