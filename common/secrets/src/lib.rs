//! From a [`Reference`] to the value that it stands for, in the program that needs it. The value is never printed,
//! never serialised, and overwritten in memory when it is dropped.

mod allowance;
mod aws;
mod error;
mod field;
mod persons;
mod renewal;
mod secret;
mod source;
mod stores;
mod values;
mod variables;
mod vault;

pub use allowance::InvalidPattern;
pub use aws::Error as AwsError;
pub use cutover_core::Reference;
pub use error::Error;
pub use persons::read;
pub use renewal::keep_token;
pub use secret::Secret;
pub use stores::{Found, Stores};
pub use values::Values;
pub use vault::Error as VaultError;
