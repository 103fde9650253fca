//! A new version under real traffic, as it is watched on all hosts: [`Watch`] reads what the proxies count, and whether the
//! replicas live. What the counts mean is decided in [`tally`], purely.

mod error;
mod reading;
mod replica_watch;
pub mod tally;
mod watch;

pub use error::Error;
pub use reading::reading;
pub use replica_watch::{Charge, first_trouble, look};
pub use watch::{Part, Watch, Watched};
