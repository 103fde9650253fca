//! Migrations on a real PostgreSQL server: one for all tests, one database for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apply;
mod authority;
mod backfill;
mod connect;
mod contract;
mod declared;
mod index;
mod killed;
mod load;
mod locks;
mod pooler;
#[path = "../shared/victim.rs"]
mod process;
mod rehearsal;
#[path = "../shared/rehearsed.rs"]
mod rehearsed;
#[path = "../shared/relay.rs"]
mod relay;
mod support;
mod tls;
mod turn;
mod victim;
