//! Orders of a certificate that came to nothing: when the next one may be made.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DeploymentId, Timestamp};

/// How long after the first order that failed the next one is made; then twice as long each time.
const DISTANCE: Duration = Duration::from_mins(2);
/// The longest distance between two orders.
const LONGEST: Duration = Duration::from_hours(6);
/// Authorities count failures: Let's Encrypt refuses all orders for a name after five within an hour
/// (letsencrypt.org/docs/rate-limits, "Authorization Failures per Hostname per Account").
const FAILURES: usize = 5;
const WITHIN: Duration = Duration::from_hours(1);

/// The orders of a service's certificate that failed since the last one that went well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The last five, the latest last.
    failed: Vec<FailedOrder>,
    /// How many there were for the deployment of the latest one.
    in_a_row: u32,
}

/// An order that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOrder {
    /// The deployment that was served.
    pub deployment: DeploymentId,
    /// When it was made.
    pub at: Timestamp,
    /// Why it failed.
    pub reason: String,
}

impl Orders {
    /// Writes an order down.
    pub fn add(&mut self, order: FailedOrder) {
        let again = self.latest().is_some_and(|latest| latest.deployment == order.deployment);
        self.in_a_row = if again { self.in_a_row.saturating_add(1) } else { 1 };
        self.failed.push(order);
        if self.failed.len() > FAILURES {
            self.failed.remove(0);
        }
    }

    /// Says better why the latest one failed.
    pub fn explain(&mut self, reason: String) {
        if let Some(latest) = self.failed.last_mut() {
            latest.reason = reason;
        }
    }

    /// The latest one.
    pub fn latest(&self) -> Option<&FailedOrder> {
        self.failed.last()
    }

    /// When the next one may be made. For another deployment than before, at once: somebody may have mended what was wrong.
    pub fn next(&self, deployment: &DeploymentId) -> Timestamp {
        let Some(latest) = self.latest() else { return Timestamp::default() };
        let distance =
            DISTANCE.saturating_mul(2_u32.saturating_pow(self.in_a_row.saturating_sub(1))).min(LONGEST);
        let spaced =
            if latest.deployment == *deployment { latest.at.after(distance) } else { Timestamp::default() };
        let full = self.failed.len() >= FAILURES;
        let counted = self.failed.first().filter(|_| full).map(|first| first.at.after(WITHIN));
        spaced.max(counted.unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn id(n: u32) -> DeploymentId {
        format!("{n:0>26}").parse().unwrap()
    }

    fn failed(deployment: u32, minute: u64) -> FailedOrder {
        FailedOrder { deployment: id(deployment), at: Timestamp(minute * MINUTE), reason: "no".into() }
    }

    #[test]
    fn the_distance_grows_up_to_six_hours() {
        let mut orders = Orders::default();
        let (mut minute, mut distances) = (0, Vec::new());
        assert_eq!(orders.next(&id(1)), Timestamp(0));
        for _ in 0..11 {
            orders.add(failed(1, minute));
            let next = orders.next(&id(1)).0 / MINUTE;
            distances.push(next - minute);
            minute = next;
        }
        assert_eq!(distances, [2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
    }

    #[test]
    fn another_deployment_may_order_at_once_but_never_a_sixth_time_within_an_hour() {
        let mut orders = Orders::default();
        for minute in [10, 11, 12, 13] {
            orders.add(failed(1, minute));
        }
        assert_eq!(orders.next(&id(1)), Timestamp(29 * MINUTE));
        assert_eq!(orders.next(&id(2)), Timestamp(0));
        orders.add(failed(2, 14));
        assert_eq!(orders.next(&id(2)), Timestamp(70 * MINUTE));
        assert_eq!(orders.next(&id(3)), Timestamp(70 * MINUTE));
        // The first of the five has gone by then.
        orders.add(failed(3, 70));
        assert_eq!(orders.next(&id(3)), Timestamp(72 * MINUTE));
        assert_eq!(orders.next(&id(4)), Timestamp(71 * MINUTE));
    }

    #[test]
    fn why_it_failed_is_said_of_the_latest() {
        let mut orders = Orders::default();
        orders.add(failed(1, 1));
        orders.add(failed(1, 3));
        orders.explain("NXDOMAIN".into());
        assert_eq!(orders.latest().unwrap().reason, "NXDOMAIN");
        let text = serde_json::to_string(&orders).unwrap();
        assert_eq!(serde_json::from_str::<Orders>(&text).unwrap(), orders);
    }
}
