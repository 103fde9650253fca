//! Hosts behind a real sshd, which each test starts for itself.
#![allow(clippy::unwrap_used)]

mod config;
mod connecting;
mod docker;
mod sshd;
mod using;
