//! What is measured.

use clap::{Parser, ValueEnum};

/// Schema changes and backfills under load, beside other ways to make them.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Only this table.
    #[arg(value_enum)]
    table: Option<Table>,
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

impl Options {
    /// Whether a table is wanted.
    pub(crate) fn shows(&self, table: Table) -> bool {
        self.table.is_none_or(|only| only == table)
    }
}
