//! What an operator does to the traffic of a service, with no deployment: both are an answer to something that goes on beside it.
//!
//! They aren't fenced by an epoch. They are no claim, so they have no place in the order of claims: one with a high sequence
//! would lock the running deployment out, one with a low sequence would be refused in the middle of it, when it is needed. They
//! touch no target and no way back, and each is undone by one call. What is left of the fence is the journal: an operator of
//! another control plane, or in the wrong folder, is refused. Without a journal nobody is, for when the control plane is gone.

use serde::{Deserialize, Serialize};

use crate::{Choice, ServiceKey};

/// New requests wait, and go on in their order when the service is resumed, or when the pause ends by itself: a restart of the
/// proxy goes on with what is left of it, and one of the host ends it. Said again, it goes on from then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The service.
    pub key: ServiceKey,
    /// The journal that the proxy must obey for this service; none: whichever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// How long the pause lasts at most, and how long one request waits at most, in milliseconds. One that has waited for longer,
    /// as the pause was renewed, gets 503.
    pub hold_ms: u64,
    /// How many requests wait at most; more get 503.
    pub max_waiting: u32,
}

/// New requests get 503 and a page. What is in flight goes on, and so do the health checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The service.
    pub key: ServiceKey,
    /// The journal that the proxy must obey for this service; none: whichever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// The page, in HTML; none: a line of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// When it is over by itself, in milliseconds since the Unix epoch by the host's clock, as it may last over a restart of the
    /// host; none: when it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Requests that go on as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose: Option<Choice>,
}
