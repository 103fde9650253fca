//! What declarations become, on real servers: every phase, with what the old and the new version write in between.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mariadb;
mod postgresql;
mod server;
