use serde::{Deserialize, Serialize};

use crate::Switch;

/// A deployment gets a share of the new requests, beside the active one. The weight holds only as long as it is renewed, by
/// the same call again: without that nobody is watching, and everything goes to the active deployment by itself.
///
/// Each target must first pass the health check, as for a switch; a renewal doesn't look again. A later [`Switch`] to the
/// deployment promotes it, with its counters and connections; a restore of it takes it away; a switch to another one, or
/// another canary, displaces it. The route stays that of the active deployment, and its drain limit, until the canary is
/// switched to.
///
/// The hold is measured by the host's clock since its start, which nobody can set: a proxy that is started anew, or takes over,
/// goes on with what is left of it, and after a restart of the host nothing is. So it is never longer than was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The deployment, and how it is asked once it is switched to.
    pub switch: Switch,
    /// How many of 1,000 new requests go to it.
    pub weight: u16,
    /// For how long that holds without a renewal, in milliseconds.
    pub hold_ms: u64,
    /// Whether who was sent to one of the two stays there while both exist, by a cookie; as the weight rises, so many move to
    /// the canary as it says, and none goes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
    /// Requests that go to the canary whatever its weight, as long as it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose: Option<Choice>,
    /// How many of 1,000 requests to the active deployment are also sent to the canary, which nobody gets to see the answers
    /// of: those with GET or HEAD and without a body. They are left out while too many have not ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mirror: u16,
}

/// What marks the requests of testers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// A header field with this value.
    Header {
        /// The field's name, compared without case.
        name: String,
        /// Its value, compared as it is.
        value: String,
    },
    /// A cookie with this value.
    Cookie {
        /// The cookie's name, compared as it is.
        name: String,
        /// Its value, compared as it is.
        value: String,
    },
}

fn is_zero(share: &u16) -> bool {
    *share == 0
}
