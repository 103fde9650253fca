//! The adapter to PostgreSQL: one direct session, its turn, the ledger, and the two ways to run a migration.

mod backend;
mod holders;
mod index;
mod ledger;
mod observer;
mod session;
mod tls;
mod transaction;
mod url;

pub use backend::{Backend, Backends};
pub(crate) use index::build_index;
pub(crate) use ledger::Ledger;
pub(crate) use observer::Observer;
pub(crate) use session::Session;
pub(crate) use transaction::run_in_transaction;
