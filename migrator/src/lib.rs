//! Schema changes on PostgreSQL, made so that the version that serves doesn't notice.
//!
//! What a migration is stands in `cutover_migration`; the pure part here knows what the ledger in the
//! database allows ([`ledger`]). The adapter ([`expand`]) holds one session, takes turns with other migrators, and keeps
//! every wait for a lock so short that nothing queues behind it for long.

mod error;
mod expand;
pub mod ladder;
pub mod ledger;
mod limits;
mod postgres;
mod progress;
mod worker;

pub use error::{Error, Location};
pub use expand::{Applied, Expansion, expand};
pub use limits::Limits;
pub use postgres::{Backend, Backends};
pub use progress::Progress;
pub use worker::Migrator;
