//! The adapter to PostgreSQL: one direct session, its turn, the ledger, and the ways to run a migration.

mod activity;
mod backfill;
mod dropped_index;
pub(crate) mod fault;
mod fence;
mod held;
mod holders;
mod index;
mod ledger;
mod mark;
mod observer;
mod reindex;
mod run;
mod session;
mod tls;
mod transaction;
mod url;

pub(crate) use ledger::Ledger;
pub(crate) use mark::Mark;
use observer::Observer;
pub(crate) use run::{apply, apply_in};
pub(crate) use session::Session;
pub(crate) use url::{place, share_a_server};
