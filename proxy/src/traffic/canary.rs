use cutover_control::{Choice, Refusal};
use serde::{Deserialize, Serialize};

use super::boot_clock::Deadline;
use super::marker::Marker;
use super::sticky::WHOLE;
use crate::control::Deployed;

/// The longest hold without a renewal, in milliseconds: an hour. One that lasts for ever would be none.
pub(crate) const LONGEST_HOLD_MS: u64 = 3_600_000;

/// A deployment that gets a share of the new requests, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Canary {
    pub(crate) deployed: Deployed,
    pub(crate) weight: u16,
    /// Then the weight is over, unless it was renewed.
    pub(crate) held_until: Deadline,
    pub(crate) sticky: bool,
    pub(crate) choose: Option<Choice>,
    pub(crate) mirror: u16,
}

impl Canary {
    pub(crate) fn new(wanted: &cutover_control::Canary, held_until: Deadline) -> Result<Self, Refusal> {
        let cutover_control::Canary { switch, weight, hold_ms, sticky, choose, mirror } = wanted;
        let invalid = |message: &str| Refusal::Invalid { message: format!("{}: {message}", switch.key) };
        if *weight > WHOLE || *mirror > WHOLE {
            return Err(invalid("the weight and the mirrored share are per mille, at most 1000"));
        }
        if !(1..=LONGEST_HOLD_MS).contains(hold_ms) {
            return Err(invalid("the hold of a canary must be at least 1 ms and at most an hour"));
        }
        choose.as_ref().map(Marker::new).transpose().map_err(|wrong| invalid(&wrong))?;
        Ok(Self {
            deployed: Deployed::new(switch)?,
            weight: *weight,
            held_until,
            sticky: *sticky,
            choose: choose.clone(),
            mirror: *mirror,
        })
    }
}
