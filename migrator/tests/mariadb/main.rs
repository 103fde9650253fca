//! Migrations on a real MariaDB server: one for most tests, one database for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apply;
mod authority;
mod backfill;
mod connect;
mod contract;
mod declared;
mod killed;
mod load;
mod locks;
#[path = "../shared/victim.rs"]
mod process;
mod rehearsal;
#[path = "../shared/rehearsed.rs"]
mod rehearsed;
#[path = "../shared/relay.rs"]
mod relay;
mod resumed;
mod support;
mod tls;
mod turn;
mod victim;
