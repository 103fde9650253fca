//! A model as it is stored and sent: a [`Manifest`] of files, each made of chunks that are named by their content; and what
//! the helper on a host is told of it ([`Call`], [`Answer`]).
//!
//! A version of a model is the digest of its manifest. The chunks end where the content says ([`Cut`]), so a file of which
//! a part has changed has the chunks of all its other parts as before.
//!
//! This crate holds types and their rules only: it opens nothing, and needs no runtime.

mod call;
mod cut;
mod error;
mod manifest;
mod sum;

pub use call::{Answer, Assembly, Call, Pruning, Ranges, Refusal};
pub use cut::Cut;
pub use error::Error;
pub use manifest::{Chunk, MAX_CHUNK, MAX_MANIFEST, Manifest, ModelFile, is_path};
pub use sum::{InvalidSum, Sum, Summing};
