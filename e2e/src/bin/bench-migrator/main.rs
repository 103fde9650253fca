//! `make bench-migrator`: what an application notices of a schema change that has to wait for an old transaction, and of a
//! million rows that are brought over, beside the same without Cutover. The load is pgbench's, or one of its kind, at a steady
//! rate, and its latency counts from when a transaction was due. The server writes as durably as in production.

#![allow(clippy::print_stdout)]

mod backfill;
mod load;
mod mariadb;
mod options;
mod queue;
mod rounds;
mod server;
mod work;

use clap::Parser;
use options::{Options, Server, Table};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.shows(Table::Queue, Server::Postgresql) {
        queue::print(options.rounds).await?;
    }
    if options.shows(Table::Queue, Server::Mariadb) {
        mariadb::print_queue(options.rounds).await?;
    }
    if options.shows(Table::Backfill, Server::Postgresql) {
        backfill::print(options.rows).await?;
    }
    if options.shows(Table::Backfill, Server::Mariadb) {
        mariadb::print_backfill(options.rows).await?;
    }
    Ok(())
}
