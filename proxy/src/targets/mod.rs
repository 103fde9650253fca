//! The side of the applications: the replicas that requests go to.
//!
//! A [`target`] is one replica, with the connections to each [`port`] of its [`endpoints`] ([`pool`]; [`streams`] where it speaks
//! HTTP/2), and with what is known of how it is ([`health`], [`ejection`], [`slow_start`]). A [`target_set`] chooses one for a
//! request, which holds it by a [`lease`] for as long as it is in [`flight`]. A [`live_set`] is a set with all that runs for it,
//! until its [`drain`] has ended.

mod counters;
mod drain;
mod ejection;
mod endpoints;
mod flight;
pub(crate) mod health;
mod lease;
mod limits;
mod live_set;
mod pool;
mod port;
mod slow_start;
mod streams;
mod target;
mod target_set;

pub(crate) use counters::Counters;
pub(crate) use drain::DrainLimits;
pub(crate) use flight::{Kind, STREAM_AFTER, is_event_stream, is_of_events};
pub(crate) use lease::Lease;
pub(crate) use limits::Limits;
pub(crate) use live_set::LiveSet;
pub(crate) use pool::{Connection, IDLE_LIMIT, KEEPALIVE, MAX_IDLE};
pub(crate) use target::{Standing, Target};
pub(crate) use target_set::TargetSet;
