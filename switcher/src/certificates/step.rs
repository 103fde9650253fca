//! What is to be done about a service's certificate, given what each proxy shows. Pure.

use std::time::Duration;

use cutover_control::CertificateStatus;
use cutover_core::{HostName, Orders, ShownCertificate, Timestamp};

use super::wanted::Wanted;

/// So often the proxies are looked at while nothing is due: one may have lost its state.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// And so often while one of them can't be asked.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// What the proxy of a host shows for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The host.
    pub(crate) host: HostName,
    /// What it says.
    pub(crate) found: Found,
}

/// What a proxy says of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its certificates.
    Shown(Vec<CertificateStatus>),
    /// Nothing: it could not be asked.
    Silent,
    /// It obeys another journal: its certificates are somebody else's to look after.
    Foreign,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Put the one in hand onto the proxies.
    Place,
    /// Bring what one host has to those that lack it.
    Bring {
        /// The one that has it.
        from: HostName,
        /// Those that lack it.
        to: Vec<HostName>,
    },
    /// Order a new one.
    Order,
    /// Nothing for so long: every proxy that could be asked shows this one, and it is good for a while.
    Rest(Duration, ShownCertificate),
    /// Nothing yet: an order has failed, or was made not long ago, or no proxy can be asked, or one obeys another journal.
    Wait(Duration),
}

/// What is to be done at a time. `in_hand` was issued, and no proxy has shown it yet.
///
/// An order that is due comes first: a host that takes nothing must not keep the others from their renewal.
pub(crate) fn step(
    wanted: &Wanted,
    seen: &[Seen],
    in_hand: Option<&CertificateStatus>,
    orders: &Orders,
    now: Timestamp,
) -> Step {
    let shown = seen.iter().filter_map(|seen| match &seen.found {
        Found::Shown(certificates) => Some((&seen.host, certificates.as_slice())),
        Found::Silent | Found::Foreign => None,
    });
    let asked: Vec<_> = shown.collect();
    if asked.is_empty() || seen.iter().any(|seen| seen.found == Found::Foreign) {
        return Step::Wait(LOOK_AGAIN);
    }
    let look_every = if asked.len() < seen.len() { LOOK_AGAIN } else { LOOK_EVERY };
    let until = |certificates: &[CertificateStatus]| {
        certificates
            .iter()
            .filter(|certificate| wanted.suits(certificate, now))
            .map(|found| found.not_after)
            .max()
    };
    let best = asked.iter().filter_map(|(host, shown)| {
        let suitable = shown.iter().filter(|certificate| wanted.suits(certificate, now));
        Some((*host, suitable.max_by_key(|certificate| certificate.not_after)?))
    });
    let best = best.max_by_key(|(_, certificate)| certificate.not_after);
    let shown_until = best.map(|(_, best)| best.not_after);
    let in_hand = in_hand.filter(|it| wanted.suits(it, now) && shown_until < Some(it.not_after));
    let newest = in_hand.or(best.map(|(_, best)| best));
    let due = newest.map(renewal).unwrap_or_default();
    let until_newest = newest.map(|newest| seconds(newest.not_after));
    let alike = orders.next_alike(&wanted.names, &wanted.acme.directory, until_newest, now);
    let next = due.max(orders.next(&wanted.deployment, now)).max(alike);
    if next <= now {
        return Step::Order;
    }
    if in_hand.is_some() {
        return Step::Place;
    }
    if let Some((from, best)) = best {
        let lacks = |(_, shown): &&(&HostName, &[CertificateStatus])| until(shown) < Some(best.not_after);
        let to: Vec<HostName> = asked.iter().filter(lacks).map(|(host, _)| (*host).clone()).collect();
        if !to.is_empty() {
            return Step::Bring { from: from.clone(), to };
        }
        if now < due {
            let (names, until) = (best.names.clone(), seconds(best.not_after));
            return Step::Rest(due.since(now).min(look_every), ShownCertificate { names, until });
        }
    }
    Step::Wait(next.since(now).min(look_every))
}

/// When a certificate is ordered anew: when a third of its life is left.
fn renewal(certificate: &CertificateStatus) -> Timestamp {
    let life = certificate.not_after.saturating_sub(certificate.not_before);
    seconds(certificate.not_after.saturating_sub(life / 3))
}

pub(crate) fn seconds(since_epoch: u64) -> Timestamp {
    Timestamp(since_epoch.saturating_mul(1000))
}

impl Wanted {
    /// Whether a certificate is good for the service: from that authority, for all names, and not over.
    pub(crate) fn suits(&self, certificate: &CertificateStatus, now: Timestamp) -> bool {
        certificate.ordered_from.as_ref() == Some(&self.acme.directory)
            && self.names.iter().all(|name| certificate.names.contains(name))
            && now < seconds(certificate.not_after)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Acme, FailedOrder, HostSpec, IssuedOrder, Proof};

    use super::*;

    const DAY: u64 = 24 * 3600;
    const DIRECTORY: &str = "https://ca.example/dir";

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn wanted() -> Wanted {
        let hosts = ["a", "b"].map(|name| HostSpec {
            name: host(name),
            port: 22,
            user: "root".into(),
            host_key: None,
        });
        Wanted {
            deployment: "01jd0000000000000000000000".parse().unwrap(),
            names: vec!["x.example".into(), "y.example".into()],
            acme: Acme { directory: DIRECTORY.into(), email: None, proof: Proof::Http },
            hosts: hosts.to_vec(),
        }
    }

    /// A certificate of 90 days, from a day on.
    fn since(day: u64) -> CertificateStatus {
        CertificateStatus {
            names: ["x.example", "y.example", "z.example"].map(str::to_owned).to_vec(),
            issuer: "CN=ca".into(),
            not_before: day * DAY,
            not_after: (day + 90) * DAY,
            ordered_from: Some(DIRECTORY.into()),
        }
    }

    fn seen(name: &str, certificates: &[CertificateStatus]) -> Seen {
        Seen { host: host(name), found: Found::Shown(certificates.to_vec()) }
    }

    fn silent(name: &str) -> Seen {
        Seen { host: host(name), found: Found::Silent }
    }

    fn foreign(name: &str) -> Seen {
        Seen { host: host(name), found: Found::Foreign }
    }

    fn at(day: u64, seen: &[Seen]) -> Step {
        step(&wanted(), seen, None, &Orders::default(), Timestamp(day * DAY * 1000))
    }

    /// Nothing, as the certificate of the first day is shown.
    fn rest(wait: Duration) -> Step {
        let certificate = since(0);
        Step::Rest(wait, ShownCertificate { names: certificate.names, until: seconds(90 * DAY) })
    }

    fn bring(from: &str, to: &[&str]) -> Step {
        Step::Bring { from: host(from), to: to.iter().map(|name| host(name)).collect() }
    }

    #[test]
    fn one_is_ordered_where_no_proxy_has_one() {
        assert_eq!(at(0, &[seen("a", &[]), seen("b", &[])]), Step::Order);
        assert_eq!(at(0, &[seen("a", &[]), silent("b")]), Step::Order);
        assert_eq!(at(0, &[silent("a"), silent("b")]), Step::Wait(LOOK_AGAIN));
    }

    #[test]
    fn what_one_has_is_brought_to_those_that_lack_it_and_a_renewal_that_is_due_comes_first() {
        assert_eq!(at(1, &[seen("a", &[since(0)]), seen("b", &[])]), bring("a", &["b"]));
        assert_eq!(at(59, &[seen("a", &[]), seen("b", &[since(0)])]), bring("b", &["a"]));
        assert_eq!(at(60, &[seen("a", &[]), seen("b", &[since(0)])]), Step::Order);
        let older = [seen("a", &[since(0)]), seen("b", &[since(50)]), silent("c")];
        assert_eq!(at(61, &older), bring("b", &["a"]));
    }

    #[test]
    fn it_is_ordered_anew_when_a_third_of_its_life_is_left() {
        let both = [seen("a", &[since(0)]), seen("b", &[since(0)])];
        assert_eq!(at(59, &both), rest(LOOK_EVERY));
        assert_eq!(at(60, &both), Step::Order);
        let soon = Timestamp((60 * DAY - 5) * 1000);
        assert_eq!(step(&wanted(), &both, None, &Orders::default(), soon), rest(Duration::from_secs(5)));
        assert_eq!(at(1, &[seen("a", &[since(0)]), silent("b")]), rest(LOOK_AGAIN));
    }

    #[test]
    fn one_that_is_over_or_for_other_names_or_from_elsewhere_is_none() {
        let fewer = CertificateStatus { names: vec!["x.example".into()], ..since(0) };
        let elsewhere = CertificateStatus { ordered_from: Some("https://other.example/".into()), ..since(0) };
        let own = CertificateStatus { ordered_from: None, ..since(0) };
        for shown in [fewer, elsewhere, own] {
            assert_eq!(
                at(1, &[seen("a", std::slice::from_ref(&shown)), seen("b", &[])]),
                Step::Order,
                "{shown:?}"
            );
            let beside = [seen("a", &[shown]), seen("b", &[since(0)])];
            assert_eq!(at(1, &beside), bring("b", &["a"]));
        }
        assert_eq!(at(90, &[seen("a", &[since(0)])]), Step::Order);
    }

    #[test]
    fn after_an_order_that_failed_the_next_one_waits_and_what_is_there_is_brought_all_the_same() {
        let mut orders = Orders::default();
        let deployment = wanted().deployment;
        orders.add(FailedOrder { deployment, at: Timestamp(DAY * 1000), reason: "no".into() });
        let now = Timestamp((DAY + 110) * 1000);
        let of = |seen: &[Seen], now| step(&wanted(), seen, None, &orders, now);
        assert_eq!(of(&[seen("a", &[])], now), Step::Wait(Duration::from_secs(10)));
        assert_eq!(of(&[seen("a", &[])], now.after(Duration::from_secs(10))), Step::Order);
        assert_eq!(of(&[seen("a", &[]), seen("b", &[since(0)])], now), bring("b", &["a"]));
    }

    #[test]
    fn what_is_in_hand_is_placed_and_nothing_is_ordered_in_its_place() {
        let of = |day: u64, seen: &[Seen], in_hand: &CertificateStatus| {
            step(&wanted(), seen, Some(in_hand), &Orders::default(), Timestamp(day * DAY * 1000))
        };
        let hosts = [seen("a", &[since(0)]), seen("b", &[])];
        assert_eq!(of(61, &hosts, &since(60)), Step::Place);
        assert_eq!(of(61, &[seen("a", &[]), silent("b")], &since(60)), Step::Place);
        // One that is due to be renewed itself, one that suits no more, and one that is shown already.
        assert_eq!(of(120, &hosts, &since(60)), Step::Order);
        let fewer = CertificateStatus { names: vec!["x.example".into()], ..since(60) };
        assert_eq!(of(61, &hosts, &fewer), Step::Order);
        assert_eq!(of(1, &hosts, &since(0)), bring("a", &["b"]));
    }

    #[test]
    fn what_was_issued_and_lost_is_not_ordered_again_at_once() {
        let mut orders = Orders::default();
        let (names, directory) = (wanted().names, DIRECTORY.to_owned());
        let (at, until) = (Timestamp(60 * DAY * 1000), seconds(150 * DAY));
        orders.issue(IssuedOrder { names, directory, at, until });
        let of = |wanted: &Wanted, seen: &[Seen], hour: u64| {
            step(wanted, seen, None, &orders, at.after(Duration::from_hours(hour)))
        };
        let lost = [seen("a", &[since(0)]), seen("b", &[since(0)])];
        assert_eq!(of(&wanted(), &lost, 33), Step::Wait(LOOK_EVERY));
        assert_eq!(of(&wanted(), &lost, 34), Step::Order);
        assert_eq!(of(&wanted(), &[seen("a", &[]), seen("b", &[since(0)])], 1), bring("b", &["a"]));
        let fewer = Wanted { names: vec!["x.example".into()], ..wanted() };
        assert_eq!(of(&fewer, &lost, 1), Step::Order);
        assert!(matches!(of(&wanted(), &[seen("a", &[since(60)])], 1), Step::Rest(..)));
    }

    #[test]
    fn nothing_is_done_where_a_proxy_obeys_another_journal() {
        assert_eq!(at(0, &[foreign("a"), seen("b", &[])]), Step::Wait(LOOK_AGAIN));
        assert_eq!(at(1, &[foreign("a"), seen("b", &[since(0)]), seen("c", &[])]), Step::Wait(LOOK_AGAIN));
        assert_eq!(at(0, &[foreign("a")]), Step::Wait(LOOK_AGAIN));
    }
}
