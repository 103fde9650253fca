//! The adapter to PostgreSQL: one direct session, its turn, the ledger, and the ways to run a migration.

mod backend;
mod backfill;
mod dropped_index;
mod fence;
mod holders;
mod index;
mod ledger;
mod observer;
mod reindex;
mod session;
mod tls;
mod transaction;
mod url;

pub use backend::{Backend, Backends};
pub(crate) use backfill::{fill, is_filled};
pub(crate) use dropped_index::drop_index;
pub(crate) use index::build_index;
pub(crate) use ledger::Ledger;
pub(crate) use observer::Observer;
pub(crate) use reindex::reindex;
pub(crate) use session::Session;
pub(crate) use transaction::run_in_transaction;
