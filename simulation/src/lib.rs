//! A deterministic simulation of Cutover: the rules of `cutover-core`, and around them the bus, the workers, the hosts
//! and the people as models.
//!
//! - [`run`] plays one seed: the same seed is the same day, step for step. Nothing runs in parallel, and time is a number.
//! - Workers go through the real loop's steps (look, claim, read back, do, record, go on, acknowledge) in the words of
//!   `cutover-bus`; between any two of them they may be killed, stopped for longer than their message waits, or cut off.
//! - After each step, and at the end, the invariants are looked at, each of which is a function of `invariant`.
//! - [`Flaw`]s are mistakes that can be put in on purpose, to see that they are found.
//!
//! To be read in this order: `task_run` (a worker), `performer` (what it does to hosts), `journal` (decisions),
//! `invariant` (what must hold), `day` (who does what when).

mod bus;
mod chance;
mod consumer;
mod day;
mod flaw;
mod host;
mod invariant;
mod journal;
mod performer;
mod person;
mod plans;
mod process;
mod proxy;
mod schedule;
mod tally;
mod task_run;
mod trouble;
mod watch;
mod world;

pub use day::{Report, run};
pub use flaw::Flaw;
pub use invariant::Violation;
pub use tally::{Happening, Tally};
