//! The bus: the journal on NATS JetStream, the worker loop, and who is there. The only crate that knows NATS.

mod append;
mod assignment;
mod bus;
mod duties;
mod error;
mod hint;
mod journal;
mod lease;
mod logs;
mod output;
mod point;
mod presence;
mod published;
mod pull;
mod purge;
mod reading;
mod service_log;
mod set_up;
mod stored;
mod streams;
mod task_run;
mod timer;
mod watch;
mod worker;

pub use assignment::{Assignment, Performer};
pub use bus::Bus;
pub use duties::Pace;
pub use error::{DecideError, Error};
pub use journal::Journal;
pub use output::{OutputLine, OutputLines};
pub use point::{AtPoint, Point, UnknownPoint};
pub use presence::Present;
pub use service_log::ServiceLog;
pub use set_up::Copies;
pub use watch::Watch;
pub use worker::{WorkerOptions, work, work_at};
