//! Orders of a certificate: when the next one may be made.

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
/// How long after a certificate was issued another one for the same names is ordered, where that one is lost. Let's Encrypt
/// issues five of a kind at once and then one every 34 hours (letsencrypt.org/docs/rate-limits, "New Certificates per
/// Exact Set of Identifiers").
const ALIKE: Duration = Duration::from_hours(34);

/// The orders of a service's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The last five that failed, the latest last; of those before one that went well, the ones that still count.
    failed: Vec<FailedOrder>,
    /// How many there were for the deployment of the latest one, since one went well.
    in_a_row: u32,
    /// The last one that went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued: Option<IssuedOrder>,
}

/// An order that a certificate came of, whether any proxy shows it or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedOrder {
    /// The names that were ordered.
    pub names: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// When it was issued.
    pub at: Timestamp,
    /// Until when the certificate is valid.
    pub until: Timestamp,
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
    /// Writes an order down that failed, or will have failed when nothing else is said of it. Those that are later have been
    /// noted by a clock that was wrong.
    pub fn add(&mut self, order: FailedOrder) {
        let again = self.latest().is_some_and(|latest| latest.deployment == order.deployment);
        self.in_a_row = if again { self.in_a_row.saturating_add(1) } else { 1 };
        self.failed.retain(|failed| failed.at <= order.at);
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

    /// Says of the latest one that it went well.
    pub fn issue(&mut self, issued: IssuedOrder) {
        self.failed.pop();
        self.settle(issued.at);
        self.issued = Some(issued);
    }

    /// All is well at a time: what failed before is past, but for what an authority still counts.
    pub fn settle(&mut self, now: Timestamp) {
        self.failed.retain(|failed| failed.at <= now && now < failed.at.after(WITHIN));
        self.in_a_row = 0;
    }

    /// The latest one that failed; none: one went well since.
    pub fn latest(&self) -> Option<&FailedOrder> {
        self.failed.last().filter(|_| self.in_a_row > 0)
    }

    /// The last one that went well.
    pub const fn issued(&self) -> Option<&IssuedOrder> {
        self.issued.as_ref()
    }

    /// When the next one may be made after those that failed. For another deployment than before, at once: somebody may have
    /// mended what was wrong. What lies in the future was noted by a clock that was wrong.
    pub fn next(&self, deployment: &DeploymentId, now: Timestamp) -> Timestamp {
        let mut past = self.failed.iter().filter(|failed| failed.at <= now);
        let counted = past.clone().nth(FAILURES - 1).and(past.clone().next());
        let counted = counted.map(|first| first.at.after(WITHIN));
        let distance =
            DISTANCE.saturating_mul(2_u32.saturating_pow(self.in_a_row.saturating_sub(1))).min(LONGEST);
        let latest = past.next_back().filter(|latest| self.in_a_row > 0 && latest.deployment == *deployment);
        let spaced = latest.map(|latest| latest.at.after(distance));
        spaced.unwrap_or_default().max(counted.unwrap_or_default())
    }

    /// When one may be made after the last one that went well, where what is there is valid until `until`: at once, unless
    /// that is something older, for it would be the same certificate again.
    pub fn next_alike(
        &self,
        names: &[String],
        directory: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let are_alike = |issued: &&IssuedOrder| {
            let all = |some: &[String], others: &[String]| some.iter().all(|name| others.contains(name));
            issued.directory == directory && all(&issued.names, names) && all(names, &issued.names)
        };
        let is_lost = |issued: &&IssuedOrder| issued.at <= now && until < Some(issued.until);
        let lost = self.issued.as_ref().filter(are_alike).filter(is_lost);
        lost.map(|issued| issued.at.after(ALIKE)).unwrap_or_default()
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

    /// When the next one may be made, by a clock that is right.
    fn next(orders: &Orders, deployment: u32) -> Timestamp {
        orders.next(&id(deployment), Timestamp(u64::MAX))
    }

    fn issued(minute: u64, until: u64) -> IssuedOrder {
        let names = vec!["a.example".into(), "b.example".into()];
        let (at, until) = (Timestamp(minute * MINUTE), Timestamp(until * MINUTE));
        IssuedOrder { names, directory: "https://ca.example/dir".into(), at, until }
    }

    #[test]
    fn the_distance_grows_up_to_six_hours() {
        let mut orders = Orders::default();
        let (mut minute, mut distances) = (0, Vec::new());
        assert_eq!(next(&orders, 1), Timestamp(0));
        for _ in 0..11 {
            orders.add(failed(1, minute));
            let next = next(&orders, 1).0 / MINUTE;
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
        assert_eq!(next(&orders, 1), Timestamp(29 * MINUTE));
        assert_eq!(next(&orders, 2), Timestamp(0));
        orders.add(failed(2, 14));
        assert_eq!(next(&orders, 2), Timestamp(70 * MINUTE));
        assert_eq!(next(&orders, 3), Timestamp(70 * MINUTE));
        // The first of the five has gone by then.
        orders.add(failed(3, 70));
        assert_eq!(next(&orders, 3), Timestamp(72 * MINUTE));
        assert_eq!(next(&orders, 4), Timestamp(71 * MINUTE));
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

    #[test]
    fn what_a_clock_noted_that_ran_ahead_stops_nothing() {
        let mut orders = Orders::default();
        for minute in [10, 9000, 9001, 9002, 9003] {
            orders.add(failed(1, minute));
        }
        let now = Timestamp(700 * MINUTE);
        assert!(orders.next(&id(1), now) <= now && orders.next(&id(2), now) <= now);
        orders.add(failed(1, 700));
        assert_eq!(orders.next(&id(1), now), Timestamp((700 + 64) * MINUTE));
        assert_eq!(orders.failed, [failed(1, 10), failed(1, 700)]);
        let ahead = Orders { issued: Some(issued(9000, 90_000)), ..Orders::default() };
        let alike = ahead.issued().unwrap().clone();
        assert_eq!(ahead.next_alike(&alike.names, &alike.directory, None, now), Timestamp(0));
    }

    #[test]
    fn what_went_well_starts_the_distances_anew_and_failures_go_on_counting_for_an_hour() {
        let mut orders = Orders::default();
        for minute in [10, 11, 12, 13, 14] {
            orders.add(failed(1, minute));
        }
        orders.settle(Timestamp(15 * MINUTE));
        assert_eq!((orders.latest(), next(&orders, 1)), (None, Timestamp(70 * MINUTE)));
        orders.settle(Timestamp(70 * MINUTE));
        assert_eq!(next(&orders, 1), Timestamp(0));
        orders.add(failed(1, 70));
        assert_eq!(next(&orders, 1), Timestamp(72 * MINUTE));
        orders.settle(Timestamp(130 * MINUTE));
        assert_eq!(orders, Orders::default());
    }

    #[test]
    fn one_that_was_issued_and_lost_is_ordered_again_after_34_hours_unless_it_would_be_another() {
        let mut orders = Orders::default();
        orders.add(failed(1, 10));
        orders.add(failed(1, 12));
        orders.issue(issued(12, 9000));
        assert_eq!((orders.failed.as_slice(), orders.latest()), (&[failed(1, 10)][..], None));
        let (names, directory) = (["b.example".to_owned(), "a.example".to_owned()], "https://ca.example/dir");
        let now = Timestamp(13 * MINUTE);
        let after = |names: &[String], directory: &str, until: Option<u64>| {
            orders.next_alike(names, directory, until.map(|until| Timestamp(until * MINUTE)), now).0 / MINUTE
        };
        assert_eq!(after(&names, directory, None), 12 + 34 * 60);
        assert_eq!(after(&names, directory, Some(8999)), 12 + 34 * 60);
        assert_eq!(after(&names, directory, Some(9000)), 0);
        assert_eq!(after(&names[..1], directory, None), 0);
        assert_eq!(after(&[names.as_slice(), &["c.example".to_owned()]].concat(), directory, None), 0);
        assert_eq!(after(&names, "https://other.example/dir", None), 0);
    }

    #[test]
    fn what_an_older_version_noted_is_read() {
        let older = r#"{"failed":[],"in_a_row":0}"#;
        assert_eq!(serde_json::from_str::<Orders>(older).unwrap(), Orders::default());
        assert_eq!(serde_json::to_string(&Orders::default()).unwrap(), older);
    }
}
