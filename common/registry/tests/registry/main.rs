//! Both registries over real HTTP connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod pull;
mod push;
mod remote;
