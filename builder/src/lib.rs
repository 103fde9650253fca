//! Making images: by BuildKit from a build context, or from an image that exists, and into the artifact store.

mod buildkit;
mod collector;
mod commit;
mod docker_host;
mod engine;
mod error;
mod export;
mod garbage;
mod image;
mod model_contents;
mod provenance;
mod worker;

pub use buildkit::{Base, Build, BuildEvent, Built};
pub use collector::Collector;
pub use commit::{Fetched, fetch};
pub use docker_host::{DockerHost, InvalidDockerHost};
pub use engine::{Engine, ImageId, Limits};
pub use error::Error;
pub use export::Exported;
pub use worker::Builder;

/// What a fallible operation of the builder answers.
pub type Result<T> = std::result::Result<T, Error>;
