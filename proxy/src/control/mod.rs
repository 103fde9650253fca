//! What the proxy is told, and what comes of it.
//!
//! [`control_server`] reads a call, [`plane`] lets [`ledger`] decide what it means, has [`store`] make that durable, and only then
//! changes what runs, each service as a [`live_service`]. A [`fence`] refuses who comes too late.

mod control_server;
mod fence;
mod ledger;
mod live_service;
mod plane;
pub(crate) mod store;

pub(crate) use control_server::{Callee, ControlServer, instance};
pub(crate) use ledger::{Deployed, Ledger, Service};
pub(crate) use plane::Plane;
pub(crate) use store::Store;
