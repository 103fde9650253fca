//! Takes in what code hosts, registries and buckets tell over HTTP, and publishes what they ask for. What is refused, what is nothing
//! to deploy for, and what is asked for is decided by [`hook`], given a delivery and times; [`server`] and [`desk`] act.

mod answer;
mod delivery;
mod desk;
mod error;
mod event;
mod filter;
mod hook;
mod hooks;
mod kind;
mod kinds;
mod rate;
mod refusal;
mod server;
mod signature;
mod source;
mod triggers;

pub use desk::Desk;
pub use error::Error;
pub use filter::Filter;
pub use hooks::Hooks;
pub use kind::Kind;
pub use server::Server;
pub use source::Source;
pub use triggers::{Limits, Triggers};
