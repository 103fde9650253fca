//! The artifact store: image layers, configs, manifests, build contexts and models, each under the digest of its
//! content. It is a folder, for everything that runs on one machine, or a bucket of an S3 server. Both hold the same:
//! `blobs/sha256/<hex>`, and in `incoming/` what is not whole yet.
//!
//! What is stored never changes, so there is nothing to lock: two writers of the same content write the same, and whoever
//! comes last changes nothing but its age. Content appears under its digest only when all of it is there.
//!
//! What nobody names any more is removed by its age ([`Store::remove_older`]). So whoever relies on content that is there
//! already has to make it young again: storing it does so, and [`Store::renew`] does without sending it.

mod blob;
mod bucket;
mod error;
mod folder;
mod location;
mod store;
mod trouble;
mod upload;

pub use blob::Blob;
pub use bucket::{ForeignBucket, ForeignObject, Sizes};
pub use cutover_core::Digest;
pub use error::Error;
pub use location::{BucketAddress, InvalidLocation, Location, OneMachine};
pub use store::{Entry, Removed, Store};
pub use trouble::Trouble;
pub use upload::{Stored, Upload};

/// What a fallible operation of the store answers.
pub type Result<T> = std::result::Result<T, Error>;
