//! Images are built, brought into the artifact store and pulled from there again, on a real Docker Engine.
//!
//! The engine must run in this network namespace, and be one that a build may use: `CUTOVER_E2E_DOCKER` names its socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod building;
mod export;
mod private_registry;
mod remote;
