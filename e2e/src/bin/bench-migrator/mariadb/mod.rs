//! The same on MariaDB.

mod backfill;
mod load;
mod queue;
mod server;

pub(crate) use backfill::print as print_backfill;
pub(crate) use queue::print as print_queue;
