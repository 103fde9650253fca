//! The adapter to MySQL and MariaDB: one direct session, its turn, the ledger, and the ways to run a migration.
//!
//! Each change of the schema commits by itself. So what is to be done is written down first, with what the catalog says
//! before; whoever comes after a kill asks the catalog what became of it.

mod backfill;
mod blockers;
mod catalog;
mod definition;
pub(crate) mod fault;
mod fence;
mod holders;
mod ledger;
mod looks;
mod mark;
mod observer;
mod processes;
mod replication;
mod run;
mod server;
mod session;
mod transaction;
mod turn;
mod url;

use ledger::Ledger;
pub(crate) use mark::Mark;
use observer::Observer;
pub(crate) use run::{apply, apply_in};
use session::Session;
pub(crate) use url::{place, share_a_server};
