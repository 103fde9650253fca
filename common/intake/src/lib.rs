//! Models on their way into the artifact store: files are cut into chunks by their content, and each chunk that isn't there
//! yet is stored. What is held in memory are a few chunks, however large a file is.

mod chunker;
mod error;
mod folder;
mod origin;
mod presence;
mod taking;
mod web;

pub use error::Error;
pub use origin::{Found, Origin};
pub use presence::renew;
pub use taking::{Taken, Taking};

/// What a fallible operation of the intake answers.
pub type Result<T> = std::result::Result<T, Error>;
