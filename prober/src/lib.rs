//! Are the new replicas ready, and are they as good under real traffic?
//!
//! [`Probe`] asks the replicas of one host, over the host's own network, until they are ready, and watches their
//! containers meanwhile: what has died is said at once, not at the end of a wait. [`Soak`] watches all hosts once the
//! traffic is there: what their proxies count, and whether the replicas live. What the counts mean is decided in
//! [`verdict`], purely.

mod candidate;
mod error;
mod late;
mod probe;
mod reading;
mod replica_watch;
mod schedule;
mod soak;
mod steadiness;
mod step;
pub mod verdict;
mod worker;

pub use error::Error;
pub use late::Late;
pub use probe::Probe;
pub use schedule::Schedule;
pub use soak::{Soak, Watched};
pub use steadiness::Steadiness;
pub use step::Step;
pub use worker::Prober;
