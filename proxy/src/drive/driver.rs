use std::collections::BTreeMap;

use cutover_control::{
    Call, Epoch, Refusal, Reply, Request, Response, ServiceKey, ServiceStatus, SetStatus, Target,
    TargetStatus, Upstream,
};
use tokio::sync::{Mutex, MutexGuard};

use crate::control_server::{Callee, instance};
use crate::drive::back_end::BackEnd;
use crate::drive::connections::Connections;
use crate::drive::displaced::Displaced;
use crate::drive::set_name::set_name;
use crate::health::look;
use crate::ledger::{Deployed, Ledger, Service};
use crate::store::Store;

/// Carries out control calls, one at a time: the ledger decides, the other proxy does it and has confirmed it, the store
/// makes it durable, then the call is answered. Where something of that fails, what was before is in force again.
#[derive(Debug)]
pub(super) struct Driver<B> {
    store: Store,
    instance: String,
    held: Mutex<Held<B>>,
}

#[derive(Debug)]
struct Held<B> {
    ledger: Ledger,
    back_end: B,
    displaced: Displaced,
    /// Whether the other proxy is known to do what the ledger says.
    in_force: bool,
}

/// What goes on at this moment.
struct Now {
    connections: Connections,
    lingers: bool,
}

impl<B: BackEnd> Driver<B> {
    /// Has the other proxy do what the ledger says; where it doesn't, that is tried again before each call.
    pub(super) async fn start(store: Store, ledger: Ledger, displaced: Displaced, back_end: B) -> Self {
        let mut held = Held { ledger, back_end, displaced, in_force: false };
        if let Err(refusal) = held.settle().await {
            tracing::warn!(%refusal, "{} does not do what it was told before", B::NAME);
        }
        Self { store, instance: instance(), held: Mutex::new(held) }
    }

    async fn carry_out(&self, request: Request) -> Result<Response, Refusal> {
        let mut held = self.held.lock().await;
        let mut next = held.ledger.clone();
        match request {
            Request::Status => {
                held.settle().await?;
                held.back_end.count().await?;
                let (version, instance) = (env!("CARGO_PKG_VERSION").to_owned(), self.instance.clone());
                Ok(Response::Status { version, instance, services: held.services().await? })
            }
            Request::Switch(switch) => {
                // Decided once to refuse at once what must be refused, and again afterwards: the look takes its time, and
                // a newer claim may come meanwhile.
                next.switch(&switch)?;
                if switch.tls.is_some()
                    || switch.upstream != Upstream::default()
                    || switch.timeouts.total_ms != 0
                {
                    return Err(own::<B>());
                }
                held.back_end.check(&next)?;
                let newcomers = held.ledger.newcomers(&switch);
                drop(held);
                look(&newcomers, switch.upstream.application_protocol, switch.health.as_ref()).await?;
                let mut held = self.held.lock().await;
                let mut next = held.ledger.clone();
                let previous = next.switch(&switch)?;
                self.commit(&mut held, next).await?;
                tracing::info!(key = %switch.key, deployment = switch.deployment, previous, "switched");
                Ok(Response::Switched { previous })
            }
            Request::Restore { key, epoch, deployment } => {
                let serving = next.restore(&key, &epoch, &deployment)?;
                self.commit(&mut held, next).await?;
                tracing::info!(%key, deployment, serving, "restored");
                Ok(Response::Restored { serving })
            }
            Request::Retire { key, epoch, deployment } => {
                next.retire(&key, &epoch, &deployment)?;
                self.commit(&mut held, next).await?;
                let service = held.ledger.services.get(&key).ok_or(Refusal::UnknownService)?;
                let serving =
                    service.active.as_ref().map(|active| active.targets.clone()).unwrap_or_default();
                let now = held.now().await?;
                let draining = held.draining(&now, &key, service).into_values();
                Ok(Response::Retired { serving, draining: draining.flat_map(|set| set.targets).collect() })
            }
            Request::Adopt { key, journal } => {
                next.fences.adopt(&key, &journal);
                self.commit(&mut held, next).await?;
                tracing::info!(%key, journal, "adopted");
                Ok(Response::Adopted)
            }
            _ => Err(own::<B>()),
        }
    }

    async fn commit(&self, held: &mut MutexGuard<'_, Held<B>>, next: Ledger) -> Result<(), Refusal> {
        if held.in_force && held.ledger == next {
            return Ok(());
        }
        held.in_force = false;
        let Held { ledger, back_end, displaced, .. } = &mut **held;
        let applied = back_end.apply(&next).await;
        let kept = match applied {
            Ok(()) => {
                // What was displaced is known before it is forgotten.
                displaced.note(ledger, &next)?;
                self.store.keep(&next).await
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = kept {
            // The targets that were refused may have had requests meanwhile.
            displaced.note(&next, ledger)?;
            if !matches!(refusal, Refusal::Unconfirmed { .. }) {
                // The next call tries again where this fails.
                held.settle().await.ok();
            }
            return Err(refusal);
        }
        held.ledger = next;
        held.in_force = true;
        Ok(())
    }
}

impl<B: BackEnd + Sync> Callee for Driver<B> {
    async fn call(&self, call: Call) -> Option<Reply> {
        Some(self.carry_out(call.request).await)
    }
}

impl<B: BackEnd> Held<B> {
    /// Has the other proxy do what the ledger says, where that isn't known.
    async fn settle(&mut self) -> Result<(), Refusal> {
        if !self.in_force {
            self.back_end.apply(&self.ledger).await?;
            self.in_force = true;
        }
        Ok(())
    }

    async fn now(&self) -> Result<Now, Refusal> {
        let connections = Connections::read().await.map_err(|error| Refusal::Unconfirmed {
            message: format!("the connections of this host can't be counted: {error}"),
        })?;
        Ok(Now { connections, lingers: self.back_end.lingers().await })
    }

    async fn services(&self) -> Result<Vec<ServiceStatus>, Refusal> {
        let now = self.now().await?;
        let unseen = Epoch { journal: String::new(), sequence: 0 };
        let services = self.ledger.services.iter().map(|(key, service)| ServiceStatus {
            route: service.route.clone(),
            active: service.active.as_ref().map(|active| self.set(&now, key, active)),
            previous: service.previous.as_ref().map(|previous| self.set(&now, key, previous)),
            draining: self.draining(&now, key, service).into_values().collect(),
            ..ServiceStatus::new(key.clone(), self.ledger.fences.highest(key).unwrap_or(&unseen).clone())
        });
        Ok(services.collect())
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

/// What is asked is what the other proxy has for itself: TLS, and all that only Cutover's own can.
fn own<B: BackEnd>() -> Refusal {
    let name = B::NAME;
    Refusal::Invalid {
        message: format!(
            "this host has a {name} that is driven: that can't be asked of it, see docs/foreign-proxy.md"
        ),
    }
}

/// What the driver knows of a target: the other proxy finds out by itself who can be connected to.
fn target_status(target: &Target, in_flight: u64) -> TargetStatus {
    let (replica, address) = (target.replica.clone(), target.address);
    TargetStatus { in_flight, ..TargetStatus::new(&replica, address) }
}
