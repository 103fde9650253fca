//! From a [`Reference`] to the value that it stands for, in the program that needs it. The value is never printed,
//! never serialised, and overwritten in memory when it is dropped.

mod error;
mod secret;
mod source;

pub use cutover_core::Reference;
pub use error::Error;
pub use secret::Secret;
pub use source::resolve;
