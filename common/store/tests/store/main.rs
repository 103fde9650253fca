//! The store against a real file system, and against a real S3 server.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bucket;
mod content;
mod folder;
mod foreign;
mod place;
mod relay;
mod removal;
#[path = "../support/server.rs"]
mod server;
