//! Why something could not be brought to a host, or taken away there.

use std::time::Duration;

use cutover_core::{Bytes, Digest, Failure, HostName, Span};
use cutover_fleet::{Container, ImageName, Machine, Trouble};

use crate::models::ModelError;

/// What to do where the artifact store lacks an image.
const BUILD_AGAIN: &str = "build it again: `cutover replay --from build`";

/// A failure of a stage on a host. Every message names the host, and the container or image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host, its Docker or its proxy.
    #[error(transparent)]
    Fleet(Box<cutover_fleet::Error>),
    /// The image can't be had from the artifact store as the host needs it.
    #[error("image {} can't be sent to {host}", image.short())]
    Image {
        /// The image.
        image: Digest,
        /// The host.
        host: HostName,
        /// Why not.
        source: Box<cutover_registry::Error>,
    },
    /// The image can't be put into the registry that it is to get to the hosts through.
    #[error("image {} can't be put into {repository}", image.short())]
    Publish {
        /// The image.
        image: Digest,
        /// The repository, with its registry.
        repository: String,
        /// Why not.
        source: Box<cutover_registry::Error>,
    },
    /// The host's disk is full.
    #[error("{host} has no space left for image {}: {reason}", image.short())]
    NoSpace {
        /// The image.
        image: Digest,
        /// The host.
        host: HostName,
        /// Docker's words.
        reason: String,
        /// What could be freed; empty: nothing that is known.
        freeable: String,
    },
    /// There is no room for the image on the host's disk.
    #[error(
        "{host} has {} left in {folder}, and image {} needs {} there while it is unpacked",
        Bytes(*free), image.short(), Bytes(*needed)
    )]
    NoRoom {
        /// The image.
        image: Digest,
        /// The host.
        host: HostName,
        /// Docker's folder.
        folder: String,
        /// Bytes that are free there.
        free: u64,
        /// Bytes that it needs, with what must be left.
        needed: u64,
        /// What could be freed; empty: nothing that is known.
        freeable: String,
    },
    /// The limits of the new replicas don't fit into the host's memory.
    #[error("{host} has {} of memory left, and the {replicas} new replicas may need {}", Bytes(*free), Bytes(*needed))]
    NoMemory {
        /// The host.
        host: HostName,
        /// The new replicas that have a limit.
        replicas: usize,
        /// The sum of their limits, in bytes.
        needed: u64,
        /// Bytes that are available.
        free: u64,
    },
    /// A replica needs more GPUs than there are.
    #[error("{host} has {there} GPUs, and a replica needs {needed}")]
    NoGpus {
        /// The host.
        host: HostName,
        /// GPUs that it needs.
        needed: u32,
        /// GPUs that there are.
        there: u32,
    },
    /// A model.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// There is nobody on the host who could copy assets.
    #[error("no proxy's container is on {host}, whose helper copies the assets")]
    NoHelper {
        /// The host.
        host: HostName,
    },
    /// Assets could not be copied.
    #[error("the assets in {folder} of the images on {host} could not be brought together: {reason}")]
    Assets {
        /// The folder in the image.
        folder: String,
        /// The host.
        host: HostName,
        /// The helper's words.
        reason: String,
    },
    /// The image would run as root, or as somebody who may be, and the deploy file says that nothing may.
    #[error("image {} for {host} runs as {}, and by policy.require_non_root of the deploy file it has to be a number other than 0", image.short(), if user.is_empty() { "root" } else { user })]
    Root {
        /// The image.
        image: Digest,
        /// The host.
        host: HostName,
        /// Its user; empty: it says none.
        user: Box<str>,
    },
    /// Docker gave a pull up.
    #[error("Docker on {host} could not pull image {}: {reason}", image.short())]
    Pull {
        /// The image.
        image: Digest,
        /// The host.
        host: HostName,
        /// Docker's words.
        reason: String,
    },
    /// The image is not there in time.
    #[error("sending image {} to {host} took longer than {limit}", image.short())]
    Late {
        /// The image.
        image: Digest,
        /// The host.
        host: HostName,
        /// The limit.
        limit: Span,
    },
    /// The host doesn't have the image.
    #[error("there is no image {image} on {host}")]
    NoImage {
        /// The image.
        image: ImageName,
        /// The host.
        host: HostName,
        /// Whether the deployment sends it.
        is_sent: bool,
    },
    /// Another container has the name of a replica.
    #[error("another container on {host} has the name {name}")]
    NameTaken {
        /// The name.
        name: String,
        /// The host.
        host: HostName,
        /// Whether it is a replica of the same service.
        ours: bool,
    },
    /// A replica exits at once, or can't be started.
    #[error(transparent)]
    Trouble(Box<Trouble>),
    /// A replica was removed while it started.
    #[error("{name} on {host} was removed while it started")]
    Gone {
        /// The replica.
        name: String,
        /// The host.
        host: HostName,
    },
    /// A replica can't be reached.
    #[error("{name} runs on {host}, but has no address there")]
    NoAddress {
        /// The replica.
        name: String,
        /// The host.
        host: HostName,
    },
    /// There is no address for a replica.
    #[error("no address of the network {network} on {host} is free for {name}")]
    NoFreeAddress {
        /// The replica.
        name: String,
        /// The network.
        network: String,
        /// The host.
        host: HostName,
    },
    /// What should be removed has the traffic.
    #[error("traffic still goes to {replicas} on {host}: not removed")]
    Serving {
        /// The replicas.
        replicas: String,
        /// The host.
        host: HostName,
    },
    /// What should be removed never ends its last requests.
    #[error("requests to {replicas} on {host} have not ended within {} s: not removed", limit.as_secs())]
    Draining {
        /// The replicas.
        replicas: String,
        /// The host.
        host: HostName,
        /// How long was waited.
        limit: Duration,
    },
}

impl Error {
    pub(crate) fn serving(replicas: &[&Container], machine: &Machine) -> Self {
        Self::Serving { replicas: names(replicas), host: machine.name().clone() }
    }

    pub(crate) fn draining(replicas: &[&Container], machine: &Machine, limit: Duration) -> Self {
        Self::Draining { replicas: names(replicas), host: machine.name().clone(), limit }
    }

    /// Whether another attempt may go better.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Fleet(source) => source.retryable(),
            Self::Model(source) => source.retryable(),
            Self::Image { source, .. } | Self::Publish { source, .. } => source.retryable(),
            Self::NameTaken { ours, .. } => *ours,
            Self::Pull { .. }
            | Self::Gone { .. }
            | Self::NoAddress { .. }
            | Self::NoFreeAddress { .. }
            | Self::Serving { .. }
            | Self::Draining { .. } => true,
            Self::NoSpace { .. }
            | Self::NoRoom { .. }
            | Self::NoHelper { .. }
            | Self::Assets { .. }
            | Self::NoMemory { .. }
            | Self::NoGpus { .. }
            | Self::Root { .. }
            | Self::Late { .. }
            | Self::NoImage { .. }
            | Self::Trouble(_) => false,
        }
    }
}

impl From<cutover_fleet::Error> for Error {
    fn from(error: cutover_fleet::Error) -> Self {
        Self::Fleet(Box::new(error))
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<cutover_host::Error> for Error {
    fn from(error: cutover_host::Error) -> Self {
        cutover_fleet::Error::from(error).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            Error::Fleet(error) => (*error).into(),
            Error::Model(error) => (*error).into(),
            Error::Trouble(trouble) => (*trouble).into(),
            Error::Image { source, .. } => match *source {
                cutover_registry::Error::NoSuchPlatform { .. } => {
                    failure.hint("build the image for the host's platform, or deploy to another host")
                }
                source if !source.retryable() => failure.hint(BUILD_AGAIN),
                _ => failure,
            },
            Error::Publish { source, .. } => match *source {
                cutover_registry::Error::NotLetIn { .. } => failure.hint(
                    "check registry.username and registry.password in the deploy file, and that this user may push there",
                ),
                _ => failure,
            },
            Error::NoSpace { freeable, .. } | Error::NoRoom { freeable, .. } if !freeable.is_empty() => {
                failure.hint(format!("make space there: {freeable}"))
            }
            Error::NoSpace { .. } | Error::NoRoom { .. } => {
                failure.hint("make space there: `docker system df` says what takes it")
            }
            Error::NoMemory { .. } => failure.hint(
                "old and new replicas run side by side: lower resources.memory or replicas, or give the host more memory",
            ),
            Error::NoHelper { .. } => failure.hint("run `cutover setup`"),
            Error::Assets { .. } => {
                failure.hint("a proxy that is older than this is renewed by `cutover setup`")
            }
            Error::Root { .. } => failure.hint(
                "end its Dockerfile with a user of its own by its number (USER 1000), or name one: `container: {user: \"1000\"}`",
            ),
            Error::NoGpus { .. } => failure.hint("lower resources.gpus, or deploy to another host"),
            Error::Late { .. } => failure.hint("raise timeouts.ship in the deploy file if the link is that slow"),
            Error::NoImage { is_sent, .. } => failure.hint(resent(is_sent)),
            Error::NameTaken { ours: false, .. } => failure.hint("it is not Cutover's: rename or remove it"),
            Error::NoFreeAddress { .. } => {
                failure.hint("`docker network inspect` says what has them; Docker's `default-address-pools` say how many there are")
            }
            _ => failure,
        }
    }
}

/// What brings a host what it lacks, where the deployment sends it and where it is one of what is live.
pub(crate) const fn resent(is_sent: bool) -> &'static str {
    if is_sent {
        "send it again: `cutover replay --from ship`"
    } else {
        "what is live is made anew here, and nothing is sent: `cutover deploy` of the same version sends it"
    }
}

fn names(replicas: &[&Container]) -> String {
    replicas.iter().map(|replica| replica.name.as_str()).collect::<Vec<_>>().join(", ")
}
