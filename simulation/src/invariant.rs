//! What must hold, whatever happens: one function for each rule.

mod claims;
mod containers;
mod log;
mod owed;
mod schema;
mod traffic;

use std::fmt;

pub(crate) use claims::*;
pub(crate) use containers::*;
pub(crate) use log::*;
pub(crate) use owed::*;
pub(crate) use schema::*;
pub(crate) use traffic::*;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

fn require(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}
