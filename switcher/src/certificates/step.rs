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
    /// Its certificates; none: it could not be asked.
    pub(crate) certificates: Option<Vec<CertificateStatus>>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
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
    /// Nothing yet: an order has failed, or no proxy can be asked.
    Wait(Duration),
}

/// What is to be done at a time.
pub(crate) fn step(wanted: &Wanted, seen: &[Seen], orders: &Orders, now: Timestamp) -> Step {
    let asked: Vec<_> =
        seen.iter().filter_map(|seen| Some((&seen.host, seen.certificates.as_deref()?))).collect();
    if asked.is_empty() {
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
    if let Some((from, best)) = best {
        let lacks = |(_, shown): &&(&HostName, &[CertificateStatus])| until(shown) < Some(best.not_after);
        let to: Vec<HostName> = asked.iter().filter(lacks).map(|(host, _)| (*host).clone()).collect();
        if !to.is_empty() {
            return Step::Bring { from: from.clone(), to };
        }
        let due = renewal(best);
        if now < due {
            let (names, until) = (best.names.clone(), seconds(best.not_after));
            return Step::Rest(due.since(now).min(look_every), ShownCertificate { names, until });
        }
    }
    let next = orders.next(&wanted.deployment);
    if now < next { Step::Wait(next.since(now).min(look_every)) } else { Step::Order }
}

/// When a certificate is ordered anew: when a third of its life is left.
fn renewal(certificate: &CertificateStatus) -> Timestamp {
    let life = certificate.not_after.saturating_sub(certificate.not_before);
    seconds(certificate.not_after.saturating_sub(life / 3))
}

fn seconds(since_epoch: u64) -> Timestamp {
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
    use cutover_core::{Acme, FailedOrder, HostSpec, Proof};

    use super::*;

    const DAY: u64 = 24 * 3600;
    const DIRECTORY: &str = "https://ca.example/dir";

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn wanted() -> Wanted {
        let hosts = ["a", "b"].map(|name| HostSpec { name: host(name), port: 22, user: "root".into() });
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
        Seen { host: host(name), certificates: Some(certificates.to_vec()) }
    }

    fn silent(name: &str) -> Seen {
        Seen { host: host(name), certificates: None }
    }

    fn at(day: u64, seen: &[Seen]) -> Step {
        step(&wanted(), seen, &Orders::default(), Timestamp(day * DAY * 1000))
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
    fn what_one_has_is_brought_to_those_that_lack_it_before_anything_is_ordered() {
        assert_eq!(at(1, &[seen("a", &[since(0)]), seen("b", &[])]), bring("a", &["b"]));
        assert_eq!(at(89, &[seen("a", &[]), seen("b", &[since(0)])]), bring("b", &["a"]));
        let older = [seen("a", &[since(0)]), seen("b", &[since(50)]), silent("c")];
        assert_eq!(at(61, &older), bring("b", &["a"]));
    }

    #[test]
    fn it_is_ordered_anew_when_a_third_of_its_life_is_left() {
        let both = [seen("a", &[since(0)]), seen("b", &[since(0)])];
        assert_eq!(at(59, &both), rest(LOOK_EVERY));
        assert_eq!(at(60, &both), Step::Order);
        let soon = Timestamp((60 * DAY - 5) * 1000);
        assert_eq!(step(&wanted(), &both, &Orders::default(), soon), rest(Duration::from_secs(5)));
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
        let of = |seen: &[Seen], now| step(&wanted(), seen, &orders, now);
        assert_eq!(of(&[seen("a", &[])], now), Step::Wait(Duration::from_secs(10)));
        assert_eq!(of(&[seen("a", &[])], now.after(Duration::from_secs(10))), Step::Order);
        assert_eq!(of(&[seen("a", &[]), seen("b", &[since(0)])], now), bring("b", &["a"]));
    }
}
