//! A deterministic simulation of Cutover: the rules of `cutover-core`, and around them the bus, the workers, the hosts
//! and the people as models.
//!
//! - [`run`] plays one seed: the same seed is the same day, step for step. Nothing runs in parallel, and time is a number.
//! - Workers go through the real loop's steps (look, claim, read back, do, record, go on, acknowledge) in the words of
//!   `cutover-bus`, for the tasks of a deployment that runs and for what is owed after its end; between any two of them they
//!   may be killed, stopped for longer than their message waits, or cut off.
//! - What is due later is looked at again when the server's timer goes off, which may be lost, and by whoever has the lease of
//!   the sweep, which may be dead or asleep. On every other day nobody sweeps until the evening: messages alone must then
//!   bring every deployment to its end.
//! - People deploy, abort, replay, roll back, to warm replicas where there are any, and forgive hosts what they owe.
//! - After each step, and at the end, the invariants are looked at, each of which is a function of `invariant`. A day ends
//!   in peace: first what runs ends, then hosts come back and all that is owed is done, then a good release goes live.
//! - [`Flaw`]s are mistakes that can be put in on purpose, to see that they are found.
//!
//! To be read in this order: `task_run` (a worker), `performer` (what it does to hosts), `journal` (decisions, and what
//! follows), `duty` (who looks again), `invariant` (what must hold), `day` (who does what when).
//!
//! Not modelled: hosts that go down and lose their containers, a cluster whose replicas are behind, the purge of what a
//! snapshot covers, versions of the protocol, several services, plans of other hosts than the ones before, another journal.

mod assignment;
mod bus;
mod chance;
mod consumer;
mod database;
mod day;
mod duty;
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
