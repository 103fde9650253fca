//! How a new proxy takes over from the one that serves.
//!
//! Both speak [`handover`]: the new one with its [`predecessor`], the old one with its [`successor`]. Until the old one has ended
//! its last requests, what the two say of themselves is added up ([`overlap`]).

mod handover;
pub(crate) mod overlap;
mod predecessor;
mod successor;

pub(crate) use handover::path_beside;
pub(crate) use predecessor::{Gone, Inheritance, Predecessor};
pub(crate) use successor::{Sockets, Succession, Successor};
