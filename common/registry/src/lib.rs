//! An OCI registry inside a program: images travel between Docker Engines and the artifact store by the protocol that
//! every Docker Engine speaks, and no registry server has to exist.
//!
//! It follows the OCI distribution specification 1.1 as far as `docker push` and `docker pull` need it, over any byte
//! stream: a loopback connection, or a channel of an SSH connection. There are two of them, with different rights:
//! a [`PushRegistry`] takes one image in, a [`PullRegistry`] gives one image out. Each knows one repository; a
//! repository with an unguessable name keeps other users of the same loopback interface out.
//!
//! Where a registry of its own is to be between them nevertheless, a [`Remote`] puts images there.

mod beginning;
mod connection;
mod contents;
mod error;
mod image;
mod manifest;
mod pace;
mod pull;
mod push;
mod range;
mod remote;
mod reply;
mod route;
mod traffic;
mod turns;
mod whole;

pub use contents::contents;
pub use error::Error;
pub use image::Image;
pub use manifest::{Descriptor, InvalidManifest, Platform};
pub use pace::Pace;
pub use pull::PullRegistry;
pub use push::PushRegistry;
pub use remote::Remote;
pub use traffic::Traffic;
pub use whole::is_whole;

/// What a fallible operation of the registry answers.
pub type Result<T> = std::result::Result<T, Error>;
