//! What runs on the hosts: images get there, new replicas start beside the old ones, and what is done with goes.
//!
//! One function per stage: [`ship`], [`boot`], [`retire`] (which is the cool stage too) and [`discard`]. Each first looks
//! at what is there and does only the rest. Docker knows no fence, so what serves is safe by other means: names are
//! deterministic, and a replica is stopped only after the proxy has said that it needs it no more ([`Removal`], [`strays`]).

mod assets;
mod beginnings;
mod boot;
mod container_spec;
mod crew;
mod discard;
mod downloads;
mod drain;
mod error;
mod fence;
#[cfg(test)]
mod fixture;
mod jobs;
pub mod models;
mod origin;
mod preflight;
mod prune;
mod publication;
mod pull;
mod removal;
mod retire;
mod ship;
mod sidecars;
mod space;
mod startup;
mod stop;
mod temporary_name;
mod traffic;
mod worker;

pub use boot::{Existing, Images, boot};
pub use container_spec::ContainerSpec;
pub use discard::discard;
pub use error::Error;
pub use origin::Origin;
pub use removal::{Removal, strays};
pub use retire::retire;
pub use ship::ship;
pub use traffic::Traffic;
pub use worker::Shipper;

/// What a fallible operation of the shipper answers.
pub type Result<T> = std::result::Result<T, Error>;
