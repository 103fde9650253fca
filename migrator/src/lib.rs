//! Schema changes on PostgreSQL, made so that the version that serves doesn't notice.
//!
//! The pure part knows what a migration is ([`Migration`]), what its SQL consists of, and what the ledger in the
//! database allows ([`ledger`]). The adapter ([`expand`]) holds one session, takes turns with other migrators, and keeps
//! every wait for a lock so short that nothing queues behind it for long.

mod error;
mod expand;
mod header;
mod index;
pub mod ledger;
mod limits;
mod migration;
mod postgres;
mod progress;
mod statement;
mod token;
mod version;
mod worker;

pub use error::{Error, Location};
pub use expand::{Applied, Expansion, expand};
pub use header::InvalidHeader;
pub use limits::Limits;
pub use migration::{InvalidMigration, Migration, Migrations};
pub use postgres::{Backend, Backends};
pub use progress::Progress;
pub use version::{InvalidVersion, Version};
pub use worker::Migrator;
