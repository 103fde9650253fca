use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release};

use cutover_control::{ServiceKey, SetStatus};

use super::counters::Counters;
use super::lease::Lease;
use super::limits::Limits;
use super::port::Ports;
use super::target::{Standing, Target};
use crate::control::Deployed;
use crate::tls::Insistence;

/// The targets that the requests of a service go to. It never changes: a switch puts another one in its place, and a
/// request keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct TargetSet {
    pub(crate) service: Arc<ServiceKey>,
    pub(crate) deployment: String,
    pub(crate) release: String,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ports: Ports,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Insistence>,
    rotation: AtomicUsize,
    /// Somebody decides whether a target can be left out.
    ejecting: AtomicBool,
}

impl TargetSet {
    pub(crate) fn new(
        service: Arc<ServiceKey>,
        deployed: &Deployed,
        targets: Vec<Arc<Target>>,
        counters: Arc<Counters>,
    ) -> Self {
        let Deployed { deployment, release, timeouts, upstream, max_request_body, tls, .. } = deployed;
        Self {
            service,
            deployment: deployment.clone(),
            release: release.clone(),
            targets,
            counters,
            ports: Ports::of(deployed),
            limits: Limits::new(timeouts, upstream, *max_request_body),
            tls: tls.as_ref().map(Insistence::new),
            rotation: AtomicUsize::new(0),
            ejecting: AtomicBool::new(false),
        }
    }

    /// The target with the best standing, of those the one with the least in flight for its share, of those each in turn; `None`
    /// when there is none but the ones already tried, or none has a port of that number. When all are down, all are used: a
    /// wrong health check must not turn a working application off.
    pub(crate) fn lease(self: &Arc<Self>, port: Option<u16>, tried: &[SocketAddr]) -> Option<Lease> {
        let port = self.ports.find(port)?;
        let count = self.targets.len();
        let turn = if count > 1 { self.rotation.fetch_add(1, Relaxed) } else { 0 };
        let first = turn % count.max(1);
        (first..count)
            .chain(0..first)
            .filter_map(|index| Some((index, self.targets.get(index)?)))
            .filter(|(_, target)| !tried.contains(&target.address()))
            .min_by_key(|(_, target)| (target.standing(), target.burden(self.limits.slow_start, turn)))
            .map(|(_, target)| Lease::new(Arc::clone(self), Arc::clone(target), port))
    }

    /// A request has failed on one of the targets: it may be left out for a while, but never more than half of them are,
    /// those included that are down.
    pub(crate) fn failed(&self, target: &Target) {
        // Who comes at the same moment leaves it to the next failure.
        if !target.failed() || self.ejecting.swap(true, AcqRel) {
            return;
        }
        let out = self.targets.iter().filter(|target| target.standing() >= Standing::Ejected).count();
        if (out + 1) * 2 <= self.targets.len() {
            let time = target.eject();
            self.counters.ejected();
            let (service, address) = (&self.service, target.address());
            tracing::warn!(%service, replica = target.replica(), %address, ?time, "target is left out: its requests fail");
        }
        self.ejecting.store(false, Release);
    }

    /// Goes on from what another proxy has counted and found out.
    pub(crate) fn resume(&self, before: &SetStatus) {
        self.counters.resume(before);
        for target in &self.targets {
            let known = before.targets.iter().find(|known| target.is_at(&known.replica, known.address));
            if let Some(known) = known {
                target.set_healthy(known.healthy);
            }
        }
    }

    pub(crate) fn status(&self) -> SetStatus {
        let mut status = SetStatus::new(&self.deployment, &self.release);
        status.targets = self.targets.iter().map(|target| target.status()).collect();
        self.counters.fill(&mut status);
        status
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use cutover_control::{Epoch, Switch};

    use super::*;

    fn set(ports: &[u16]) -> Arc<TargetSet> {
        let target = |port: &u16| cutover_control::Target {
            replica: format!("app-{port}"),
            address: SocketAddr::from(([127, 0, 0, 1], *port)),
        };
        let targets = ports.iter().map(target).collect();
        let (key, epoch) =
            (ServiceKey::new("production", "app"), Epoch { journal: "j".to_owned(), sequence: 1 });
        let deployed = Deployed::new(&Switch::new(key.clone(), epoch, "d1", "r1", targets)).unwrap();
        let targets = deployed.targets.iter().map(|target| Arc::new(Target::new(target, &deployed, 1)));
        Arc::new(TargetSet::new(Arc::new(key), &deployed, targets.collect(), Arc::default()))
    }

    fn port(lease: &Lease) -> u16 {
        lease.target().address().port()
    }

    #[test]
    fn equals_take_turns_and_the_least_busy_comes_first() {
        let set = set(&[1, 2, 3]);
        let mut held: Vec<_> = (0..3).map(|_| set.lease(None, &[]).unwrap()).collect();
        assert_eq!(held.iter().map(port).collect::<Vec<_>>(), [1, 2, 3]);
        drop(held.remove(1));
        assert_eq!(port(&set.lease(None, &[]).unwrap()), 2);
    }

    #[test]
    fn a_down_target_is_left_out_until_all_are_down() {
        let set = set(&[1, 2]);
        set.targets[0].set_healthy(false);
        assert!((0..4).all(|_| port(&set.lease(None, &[]).unwrap()) == 2));
        set.targets[1].set_healthy(false);
        let ports: Vec<_> = (0..4).map(|_| port(&set.lease(None, &[]).unwrap())).collect();
        assert!(ports.contains(&1) && ports.contains(&2));
    }

    #[test]
    fn a_target_that_fails_again_and_again_is_left_out_but_never_more_than_half_are() {
        for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let set = set(&(1..=count).collect::<Vec<_>>());
            for target in &set.targets {
                (0..5).for_each(|_| set.failed(target));
            }
            let out = set.status().targets.iter().filter(|target| target.ejected).count();
            assert_eq!((out, set.status().ejections), (most, most as u64), "of {count}");
            // One that still gets its turns.
            assert!(!set.status().targets[usize::from(port(&set.lease(None, &[]).unwrap())) - 1].ejected);
        }
    }

    #[test]
    fn a_target_that_is_down_counts_among_those_left_out() {
        let set = set(&[1, 2]);
        set.targets[0].set_healthy(false);
        (0..5).for_each(|_| set.failed(&set.targets[1]));
        assert!(!set.status().targets[1].ejected);
    }

    #[test]
    fn a_target_that_joins_warm_ones_gets_less_at_first_and_all_alike_share_equally() {
        const CHOICES: usize = 300;
        let share = |joined: &[usize]| {
            let mut set = Arc::into_inner(set(&[1, 2, 3])).unwrap();
            set.limits.slow_start = Some(Duration::from_secs(3_600));
            joined.iter().for_each(|index| set.targets[*index].warm_up());
            let set = Arc::new(set);
            (0..CHOICES).filter(|_| port(&set.lease(None, &[]).unwrap()) == 3).count()
        };
        let joined = share(&[2]);
        assert!((1..CHOICES / 15).contains(&joined), "{joined}");
        let alike = share(&[0, 1, 2]);
        assert!(alike.abs_diff(CHOICES / 3) < CHOICES / 20, "{alike}");
        assert_eq!(share(&[]), CHOICES / 3);
    }

    #[test]
    fn a_tried_target_is_not_given_again() {
        let set = set(&[1, 2]);
        set.failed(&set.targets[1]);
        let tried = [set.targets[0].address()];
        assert_eq!(port(&set.lease(None, &tried).unwrap()), 2);
        let all: Vec<_> = set.targets.iter().map(|target| target.address()).collect();
        assert!(set.lease(None, &all).is_none());
    }
}
