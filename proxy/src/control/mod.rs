//! What the proxy is told, and what comes of it.
//!
//! [`control_server`] reads a call, [`plane`] lets [`ledger`] decide what it means, has [`store`] make that durable, and only then
//! changes what runs, each service as a [`live_service`]. A [`guard`] refuses who may not call, a [`fence`] who comes too late.

mod control_server;
mod fence;
mod guard;
mod ledger;
mod live_service;
mod plane;
pub(crate) mod store;

pub(crate) use control_server::{Callee, ControlServer, instance};
pub(crate) use guard::{is_own, look_at_folder};
pub(crate) use ledger::{Deployed, Ledger, Service};
pub(crate) use plane::Plane;
pub(crate) use store::Store;
