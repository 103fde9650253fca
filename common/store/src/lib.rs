//! The artifact store: image layers, configs, manifests, build contexts and models, each under the digest of its
//! content. This one is a folder, for everything that runs on one machine.
//!
//! What is stored never changes, so there is nothing to lock: two writers of the same content write the same file,
//! and whoever renames last changes nothing. A file appears under its digest only when all of it is on the disk.

mod blob;
mod error;
mod folder;
mod upload;

pub use blob::Blob;
pub use cutover_core::Digest;
pub use error::Error;
pub use folder::Store;
pub use upload::{Stored, Upload};

/// What a fallible operation of the store answers.
pub type Result<T> = std::result::Result<T, Error>;
