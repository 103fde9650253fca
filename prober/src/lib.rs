//! Are the new replicas ready, and are they as good under real traffic?
//!
//! [`Probe`] asks the replicas of one host, over the host's own network, until they are ready, and watches their
//! containers meanwhile: what has died is said at once, not at the end of a wait. [`Soak`] watches all hosts once the
//! traffic is there, and [`StandingWatch`] all that is live, for ever.

mod candidate;
mod error;
mod late;
mod liveness;
mod probe;
mod questions;
mod round;
mod schedule;
mod sidecars;
mod soak;
mod standing;
mod steadiness;
mod step;
mod streak;
mod worker;

pub use error::Error;
pub use late::Late;
pub use liveness::Liveness;
pub use probe::Probe;
pub use questions::Questions;
pub use schedule::Schedule;
pub use soak::Soak;
pub use standing::StandingWatch;
pub use steadiness::Steadiness;
pub use step::Step;
pub use worker::Prober;
