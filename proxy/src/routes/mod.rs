//! Which service a request is for: by its host, and by the beginning of its path.
//!
//! A [`route`] is kept in one form, in which two can be compared; the [`claims`] of a service are its routes to each port of its
//! replicas. [`route_table`] has those of all services, and is read for each request without a lock.

mod claims;
mod path_prefix;
pub(crate) mod route;
mod route_table;

pub(crate) use claims::Claims;
pub(crate) use path_prefix::PathPrefix;
pub(crate) use route_table::{Found, RouteTable, Routes};
