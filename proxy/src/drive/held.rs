use std::collections::BTreeMap;
use std::time::Duration;

use cutover_control::{
    CanaryStatus, Epoch, MirrorStatus, Refusal, Response, ServiceKey, ServiceStatus, SetStatus, Target,
    TargetStatus,
};

use crate::control::{Deployed, Ledger, Service, Store};
use crate::drive::back_end::BackEnd;
use crate::drive::connections::Connections;
use crate::drive::displaced::Displaced;
use crate::drive::set_name::set_name;
use crate::traffic::{BootClock, Canary};

/// The ledger, and the other proxy that does what it says.
#[derive(Debug)]
pub(super) struct Held<B> {
    pub(super) ledger: Ledger,
    pub(super) back_end: B,
    pub(super) clock: BootClock,
    displaced: Displaced,
    /// What the other proxy is known to do.
    in_force: Option<Ledger>,
    /// While that isn't known: a canary may get a share, of the ledger or of one that was refused.
    may_weigh: bool,
}

/// What goes on at this moment.
struct Now {
    connections: Connections,
    lingers: bool,
}

impl<B: BackEnd> Held<B> {
    pub(super) fn new(ledger: Ledger, displaced: Displaced, back_end: B) -> Self {
        let may_weigh = has_weight(&ledger);
        Self { ledger, back_end, clock: BootClock::new(), displaced, in_force: None, may_weigh }
    }

    /// Has the other proxy do what the ledger says at this moment, where that isn't known.
    ///
    /// # Errors
    ///
    /// As of [`BackEnd::apply`].
    pub(super) async fn settle(&mut self) -> Result<(), Refusal> {
        let current = self.ledger.current(&self.clock);
        self.put_in_force(current).await
    }

    /// Has the other proxy do what another ledger says, stores it, and goes on with it.
    ///
    /// # Errors
    ///
    /// As of [`BackEnd::apply`], or [`Refusal::Storage`]. The ledger is the one before.
    pub(super) async fn commit(&mut self, store: &Store, next: Ledger) -> Result<(), Refusal> {
        let current = next.current(&self.clock);
        if self.ledger == next && self.in_force.as_ref() == Some(&current) {
            return Ok(());
        }
        let Err(refusal) = self.carry_through(store, &next, current).await else {
            self.ledger = next;
            return Ok(());
        };
        self.doubt();
        // The targets that were refused may have had requests meanwhile. Whatever fails, what was before is put back.
        if let Err(error) = self.displaced.note(&next, &self.ledger) {
            tracing::error!(%error, "after the next start it is not known what was displaced");
        }
        if !matches!(refusal, Refusal::Unconfirmed { .. }) {
            // The next call tries again where this fails, and so does who ends canaries.
            self.settle().await.ok();
        }
        Err(refusal)
    }

    async fn carry_through(&mut self, store: &Store, next: &Ledger, current: Ledger) -> Result<(), Refusal> {
        self.put_in_force(current).await?;
        // What was displaced is known before it is forgotten.
        self.displaced.note(&self.ledger, next)?;
        store.keep(next).await
    }

    async fn put_in_force(&mut self, wanted: Ledger) -> Result<(), Refusal> {
        if self.in_force.as_ref() != Some(&wanted) {
            self.doubt();
            self.may_weigh |= has_weight(&wanted);
            self.back_end.apply(&wanted).await?;
            self.in_force = Some(wanted);
            self.may_weigh = false;
        }
        Ok(())
    }

    /// From now on it isn't known what the other proxy does.
    fn doubt(&mut self) {
        self.may_weigh |= self.in_force.take().is_some_and(|known| has_weight(&known));
    }

    /// Whether it is known what the other proxy does.
    pub(super) const fn is_known(&self) -> bool {
        self.in_force.is_some()
    }

    /// How long it is until the other proxy must give a canary nothing more, unless that is renewed; none: no canary gets
    /// anything. Where it isn't known whether one does, it is time now.
    pub(super) fn until_settling(&self) -> Option<Duration> {
        let Some(known) = &self.in_force else { return self.may_weigh.then_some(Duration::ZERO) };
        let weighted = known.services.values().filter_map(Service::weighted);
        weighted.map(|canary| self.clock.left(&canary.held_until)).min()
    }

    /// Where requests of a service may go, and what may still be in flight elsewhere.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownService`] or [`Refusal::Unconfirmed`].
    pub(super) async fn retired(&self, key: &ServiceKey) -> Result<Response, Refusal> {
        let service = self.ledger.services.get(key).ok_or(Refusal::UnknownService)?;
        let draining = self.draining(&self.now().await?, key, service).into_values();
        let draining = draining.flat_map(|set| set.targets).collect();
        Ok(Response::Retired { serving: service.serving(), draining })
    }

    /// # Errors
    ///
    /// [`Refusal::Unconfirmed`].
    pub(super) async fn services(&self) -> Result<Vec<ServiceStatus>, Refusal> {
        let now = self.now().await?;
        let unseen = Epoch { journal: String::new(), sequence: 0 };
        let services = self.ledger.services.iter().map(|(key, service)| ServiceStatus {
            route: service.claims.route.clone(),
            active: service.active.as_ref().map(|active| self.set(&now, key, active)),
            previous: service.previous.as_ref().map(|previous| self.set(&now, key, previous)),
            canary: service.canary.as_ref().map(|canary| self.canary(&now, key, canary)),
            draining: self.draining(&now, key, service).into_values().collect(),
            ..ServiceStatus::new(key.clone(), self.ledger.fences.highest(key).unwrap_or(&unseen).clone())
        });
        Ok(services.collect())
    }

    async fn now(&self) -> Result<Now, Refusal> {
        let connections = Connections::read().await.map_err(|error| Refusal::Unconfirmed {
            message: format!("the connections of this host can't be counted: {error}"),
        })?;
        Ok(Now { connections, lingers: self.back_end.lingers().await })
    }

    /// A deployment's targets. The other proxy doesn't tell the requests that they have in flight: they have at most as many
    /// as connections.
    fn set(&self, now: &Now, key: &ServiceKey, deployed: &Deployed) -> SetStatus {
        let mut status = SetStatus::new(&deployed.deployment, &deployed.release);
        let connections = |target: &Target| now.connections.to(target.address);
        status.targets =
            deployed.targets.iter().map(|target| target_status(target, connections(target))).collect();
        self.back_end.fill(&set_name(key, &deployed.deployment), &mut status);
        status
    }

    fn canary(&self, now: &Now, key: &ServiceKey, canary: &Canary) -> CanaryStatus {
        let left = self.clock.left(&canary.held_until);
        CanaryStatus {
            set: self.set(now, key, &canary.deployed),
            weight: if left.is_zero() { 0 } else { canary.weight },
            held_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            mirrored: MirrorStatus::default(),
        }
    }

    /// What can't be restored and may still have something in flight, by deployment.
    fn draining(&self, now: &Now, key: &ServiceKey, service: &Service) -> BTreeMap<String, SetStatus> {
        let mut sets = BTreeMap::new();
        let stays = |target| service.previous.as_ref().is_some_and(|set| set.targets.contains(target));
        for leaver in self.displaced.of(key).filter(|leaver| !stays(&leaver.target)) {
            let may_begin = now.lingers || leaver.is_fresh();
            let in_flight = now.connections.to(leaver.target.address).max(u64::from(may_begin));
            if in_flight > 0 {
                let set = sets
                    .entry(leaver.deployment.clone())
                    .or_insert_with(|| SetStatus::new(&leaver.deployment, &leaver.release));
                set.targets.push(target_status(&leaver.target, in_flight));
            }
        }
        sets
    }
}

fn has_weight(ledger: &Ledger) -> bool {
    ledger.services.values().any(|service| service.weighted().is_some())
}

/// What the driver knows of a target: the other proxy finds out by itself who can be connected to.
fn target_status(target: &Target, in_flight: u64) -> TargetStatus {
    let (replica, address) = (target.replica.clone(), target.address);
    TargetStatus { in_flight, ..TargetStatus::new(&replica, address) }
}
