//! What is measured.

use clap::{Parser, ValueEnum};

/// Schema changes and backfills under load, beside other ways to make them.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Only this table.
    #[arg(value_enum)]
    table: Option<Table>,
    /// Only on this server.
    #[arg(long, value_enum)]
    server: Option<Server>,
    /// How often each way is measured; medians are shown. Of the backfill there is one round.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Rows to bring over.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u32,
}

/// A table of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// A change behind an old transaction.
    Queue,
    /// Rows brought over.
    Backfill,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB.
    Mariadb,
}

impl Options {
    /// Whether a table of a server is wanted.
    pub(crate) fn shows(&self, table: Table, server: Server) -> bool {
        self.table.is_none_or(|only| only == table) && self.server.is_none_or(|only| only == server)
    }
}
