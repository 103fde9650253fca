//! The embedded control plane: a NATS server and the five programs on this machine, for whoever has no standing one.
//!
//! A supervisor of its own session keeps them running, so that they outlive the command that started them: closing the
//! terminal doesn't leave a deployment alone. All its state is one folder, the [`Home`]; `down` stops the processes and
//! leaves the folder.

mod control_plane;
mod down;
mod error;
mod executable;
mod home;
mod keeper;
mod keyring;
mod log_file;
mod nats_account;
mod nats_server;
mod run;
mod supervisor;
mod up;

pub(crate) use control_plane::ControlPlane;
pub(crate) use down::down;
pub(crate) use error::Error;
pub(crate) use home::Home;
pub(crate) use keyring::{Keyring, users};
pub(crate) use supervisor::supervise;
pub(crate) use up::{Options, ensure, up};
