use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Epoch;

/// Why the proxy did not do what was asked. Nothing was changed, but where it says that this is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// A newer claim of the same journal has already been here: whoever asked has been overtaken.
    #[error(
        "a newer claim (sequence {} of journal {}) has already been at this proxy",
        highest.sequence,
        highest.journal
    )]
    StaleEpoch {
        /// The highest that was seen.
        highest: Epoch,
    },
    /// The service belongs to another journal until this one is adopted.
    #[error(
        "this service is deployed from another journal, {journal}: adopt it to this one if that is meant"
    )]
    ForeignJournal {
        /// The journal that the proxy obeys.
        journal: String,
    },
    /// The proxy has never routed this service.
    #[error("this proxy does not know the service")]
    UnknownService,
    /// The call makes no sense, or conflicts with another service.
    #[error("{message}")]
    Invalid {
        /// What is wrong and how to mend it.
        message: String,
    },
    /// A replica that was to get traffic, and has none yet, failed its health check: nobody must be sent there.
    #[error("{replica} failed its health check just before the switch: {found}")]
    Unready {
        /// The replica.
        replica: String,
        /// What was found: what it answered, or why it didn't.
        found: String,
    },
    /// The proxy that served before this one still has requests in flight, and doesn't say which: a replica may need to stay.
    #[error("the proxy that served before has requests in flight, and does not say which")]
    Unsettled,
    /// The proxy drives another one, which did not confirm in time that it does what it was told. It is told to do as before;
    /// which of both it does is known once it answers again.
    #[error("{message}")]
    Unconfirmed {
        /// What was waited for, and what was found.
        message: String,
    },
    /// The new state could not be made durable, so nothing was changed.
    #[error("the proxy could not store its state: {message}")]
    Storage {
        /// What failed on which file.
        message: String,
    },
}

impl Refusal {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Unready { .. } | Self::Unsettled | Self::Unconfirmed { .. } | Self::Storage { .. }
        )
    }
}
