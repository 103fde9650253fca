//! Against a real OpenBao.
// What the server tells its administrator is looked into here and there, and has no types.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod login;
mod reading;
mod refusals;
mod renewal;
mod support;
mod trouble;
