//! Why there is no image.

use std::io;
use std::time::Duration;

use cutover_core::Digest;

use crate::ImageId;

/// A failure to make an image, or to bring it into the artifact store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Docker Engine refused a request, or broke off.
    #[error("the Docker Engine could not {action} {image}")]
    Engine {
        /// What it was asked to do.
        action: &'static str,
        /// To which image.
        image: String,
        /// Its answer.
        #[source]
        source: bollard::errors::Error,
    },
    /// The image is neither in the Docker Engine nor can it be pulled from where its name points.
    #[error(
        "image {reference} is neither in the Docker Engine that builds nor in its registry; check the name, or log in"
    )]
    NoSuchImage {
        /// The name that was asked for.
        reference: String,
        /// The Docker Engine's answer.
        #[source]
        source: bollard::errors::Error,
    },
    /// The Docker Engine gave an answer that it never gives.
    #[error("the Docker Engine gave image {image} an id that is no digest")]
    NoImageId {
        /// The image.
        image: String,
    },
    /// BuildKit couldn't be reached through the Docker Engine.
    #[error("could not open {endpoint} of the Docker Engine of {host} for BuildKit")]
    Upgrade {
        /// The end point.
        endpoint: &'static str,
        /// Whose Engine it is.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What a build is to be given can't be read.
    #[error("{key}: the builder can't read what it refers to")]
    Secret {
        /// The key of the deploy file.
        key: String,
        /// Why not.
        #[source]
        source: cutover_secrets::Error,
    },
    /// A build is to sign with the keys of an agent that isn't there.
    #[error(
        "builder.ssh.{id}: the builder knows no SSH agent, as SSH_AUTH_SOCK is not set for it; start it from a shell that has one, or name a key: {id}: file:///path"
    )]
    NoSshAgent {
        /// The agent's id.
        id: String,
    },
    /// A machine with a Docker Engine can't be reached, or a key can't be used.
    #[error(transparent)]
    Host(#[from] cutover_host::Error),
    /// The commit couldn't be got, or packed.
    #[error(transparent)]
    Context(#[from] cutover_context::Error),
    /// The agent that holds the repository's key couldn't listen.
    #[error("could not make a socket for the key of the repository")]
    Agent(#[source] io::Error),
    /// The build itself failed: the Dockerfile, or what it runs.
    #[error("{}: {reason}", step.as_ref().map_or("the build failed".to_owned(), |step| format!("build step {step} failed")))]
    Build {
        /// The step that failed, where BuildKit says which.
        step: Option<String>,
        /// BuildKit's reason.
        reason: String,
        /// What the step printed; the last of it where that was much.
        output: Vec<String>,
    },
    /// The connection to BuildKit broke while it was building.
    #[error("the Docker Engine broke off the build")]
    Interrupted {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took longer than allowed.
    #[error("gave up to {action} after {} s; raise the limit if it needs longer", limit.as_secs())]
    TimedOut {
        /// What took so long.
        action: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The artifact store failed.
    #[error(transparent)]
    Store(#[from] cutover_store::Error),
    /// The exported image can't be read back.
    #[error(transparent)]
    Registry(#[from] cutover_registry::Error),
    /// What is known of a build can't be written down.
    #[error("could not write down how the image was made")]
    Provenance(#[source] serde_json::Error),
    /// What is stored as a model's manifest is none.
    #[error("what the artifact store has of the model of version {} is no manifest", version.short())]
    NotAModel {
        /// The version.
        version: Digest,
        /// Why not.
        source: cutover_model::Error,
    },
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] cutover_bus::Error),
    /// The artifact store is used by another journal too, or was by an earlier one.
    #[error(
        "the artifact store belongs to journal {owner}, and this one is {journal}: what is garbage for one may be needed by the other; give each a store of its own, or, where the other journal is gone for good, delete `owner` in the store"
    )]
    OtherOwner {
        /// Whose it is.
        owner: String,
        /// The journal that the builder works for.
        journal: String,
    },
    /// The Docker Engine said that it pushed, but no manifest came.
    #[error("the Docker Engine says that it pushed {image}, but it sent no manifest")]
    NothingPushed {
        /// The image.
        image: ImageId,
    },
}

impl Error {
    /// Whether the same call may succeed later with nobody mending anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Upgrade { .. } | Self::Interrupted { .. } | Self::NothingPushed { .. } => true,
            // 4xx: the request will be as wrong next time; anything else may be the moment's.
            Self::Engine { source, .. } => !matches!(
                source,
                bollard::errors::Error::DockerResponseServerError { status_code: 400..=499, .. }
            ),
            Self::Store(source) => source.retryable(),
            Self::Registry(source) => source.retryable(),
            Self::Journal(source) => source.retryable(),
            Self::Host(source) => source.retryable(),
            Self::Context(source) => source.retryable(),
            Self::Agent(_) => true,
            Self::Secret { source, .. } => source.retryable(),
            Self::NoSshAgent { .. }
            | Self::NoSuchImage { .. }
            | Self::NotAModel { .. }
            | Self::NoImageId { .. }
            | Self::Provenance(_)
            | Self::OtherOwner { .. }
            | Self::Build { .. }
            | Self::TimedOut { .. } => false,
        }
    }
}
