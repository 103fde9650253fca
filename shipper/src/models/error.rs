//! What can go wrong with models.

use cutover_core::{Bytes, Failure, HostName, ModelName, Span};
use cutover_model::Refusal;

use crate::error::resent;

/// A failure of a model on its way to a host. Every message names the host.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It can't be had from the artifact store.
    #[error("model {model} can't be sent to {host}")]
    Store {
        /// The model.
        model: ModelName,
        /// The host.
        host: HostName,
        /// Why not.
        source: Box<cutover_store::Error>,
    },
    /// What the store has under its version is no manifest.
    #[error("what the artifact store has of model {model} is no model")]
    Manifest {
        /// The model.
        model: ModelName,
        /// Why not.
        source: cutover_model::Error,
    },
    /// The disk is too small.
    #[error(
        "{host} has {} left in {}, and model {model} needs {} there",
        Bytes(*free), super::MODELS, Bytes(*needed)
    )]
    NoRoom {
        /// The model.
        model: ModelName,
        /// The host.
        host: HostName,
        /// Bytes that are free.
        free: u64,
        /// Bytes that it needs, with what must be left.
        needed: u64,
    },
    /// The helper could not do it.
    #[error("model {model} could not be put together on {host}: {refusal}")]
    Refused {
        /// The model.
        model: ModelName,
        /// The host.
        host: HostName,
        /// Why not.
        refusal: Box<Refusal>,
    },
    /// The way to the helper.
    #[error("the way of models to {host} broke")]
    Cut {
        /// The host.
        host: HostName,
        /// Why.
        source: std::io::Error,
    },
    /// The helper says nothing more.
    #[error("the helper for models on {host} has said nothing for {seconds} s")]
    Silent {
        /// The host.
        host: HostName,
        /// The limit.
        seconds: u64,
    },
    /// The helper says what nobody asked for.
    #[error("the helper for models on {host} can't be understood")]
    Answer {
        /// The host.
        host: HostName,
        /// Why not; none where it answered something else.
        source: Option<cutover_model::Error>,
    },
    /// There is no helper.
    #[error("the helper for models did not start on {host}: {reason}")]
    Helper {
        /// The host.
        host: HostName,
        /// Why not.
        reason: String,
    },
    /// A version is not there when it is to be mounted.
    #[error("a version of a model that {replica} needs is not on {host}")]
    Absent {
        /// The replica.
        replica: String,
        /// The host.
        host: HostName,
        /// Whether the deployment sends it.
        is_sent: bool,
    },
    /// It took too long.
    #[error("sending the models to {host} took longer than {limit}")]
    Late {
        /// The host.
        host: HostName,
        /// The limit.
        limit: Span,
    },
}

impl ModelError {
    /// Whether another attempt may go better.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.retryable(),
            Self::Cut { .. } | Self::Silent { .. } => true,
            // It was right in the store, or would have been refused there: the next time it is read again.
            Self::Refused { refusal, .. } => matches!(**refusal, Refusal::Corrupt { .. }),
            Self::Manifest { .. }
            | Self::NoRoom { .. }
            | Self::Answer { .. }
            | Self::Helper { .. }
            | Self::Absent { .. }
            | Self::Late { .. } => false,
        }
    }

    /// Whether there is too little space on the host.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            Self::Refused { refusal, .. } => matches!(**refusal, Refusal::Io { full: true, .. }),
            _ => false,
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            ModelError::Store { source, .. } if !source.retryable() => {
                failure.hint("`cutover deploy` takes the model into the store again")
            }
            ModelError::Manifest { .. } => {
                failure.hint("`cutover deploy` takes the model into the store again")
            }
            error if error.is_full() => failure.hint(format!(
                "make space there: `du -sh {}/*/*/*` says what models take; keep fewer releases (`retain:`)",
                super::MODELS
            )),
            ModelError::Helper { .. } | ModelError::Answer { .. } => {
                failure.hint("a proxy that is older than this is renewed by `cutover setup`")
            }
            ModelError::Absent { is_sent, .. } => failure.hint(resent(is_sent)),
            ModelError::Late { .. } => {
                failure.hint("raise timeouts.ship in the deploy file if the link is that slow")
            }
            _ => failure,
        }
    }
}
