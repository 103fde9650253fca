use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_control::{
    Call, Epoch, HealthCheck, PROTOCOL, Refusal, Reply, Request, Response, ServiceKey, Target,
};
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use crate::error::Error;
use crate::health::check_once;
use crate::ledger::Ledger;
use crate::live_service::LiveService;
use crate::route_table::{RouteTable, Routes};
use crate::store::Store;

/// Carries out control calls, one at a time: the ledger decides, the store makes it durable, then the routes change,
/// then the call is answered.
#[derive(Debug)]
pub(crate) struct Plane {
    routes: Arc<RouteTable>,
    store: Store,
    held: Mutex<Held>,
}

/// The ledger and what runs because of it; the two only change together.
#[derive(Debug)]
struct Held {
    ledger: Ledger,
    /// How many there are to serve the targets.
    workers: usize,
    services: BTreeMap<ServiceKey, LiveService>,
}

impl Plane {
    /// Brings up what a ledger says, for a number of workers.
    pub(crate) async fn start(store: Store, ledger: Ledger, routes: Arc<RouteTable>, workers: usize) -> Self {
        let mut held = Held { ledger, workers, services: BTreeMap::new() };
        routes.install(held.follow()).await;
        Self { routes, store, held: Mutex::new(held) }
    }

    /// Answers one call. To be polled to its end: dropped in between, a change may be stored and not yet in force,
    /// until the next call or start.
    pub(crate) async fn call(&self, call: Call) -> Reply {
        if call.protocol != PROTOCOL {
            let message = format!("this proxy speaks protocol {PROTOCOL}, the call is in {}", call.protocol);
            return Err(Refusal::Invalid { message });
        }
        let mut held = self.held.lock().await;
        let mut next = held.ledger.clone();
        match call.request {
            Request::Status => Ok(held.status()),
            Request::Switch(switch) => {
                // Decided once to refuse at once what must be refused, and again afterwards: the look takes its time, and
                // a newer claim may come meanwhile.
                next.switch(&switch)?;
                let newcomers = held.ledger.newcomers(&switch);
                drop(held);
                look(&newcomers, switch.health.as_ref()).await?;
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
                Ok(held.retired(&key))
            }
            Request::Adopt { key, journal } => {
                next.fences.adopt(&key, &journal);
                self.commit(&mut held, next).await?;
                tracing::info!(%key, journal, "adopted");
                Ok(Response::Adopted)
            }
        }
    }

    async fn commit(&self, held: &mut Held, next: Ledger) -> Result<(), Refusal> {
        if held.ledger == next {
            return Ok(());
        }
        let (store, stored) = (self.store.clone(), next.clone());
        let saved = tokio::task::spawn_blocking(move || store.save(&stored)).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(storage(&error)),
            Err(error) => return Err(Refusal::Storage { message: error.to_string() }),
        }
        held.ledger = next;
        self.routes.install(held.follow()).await;
        Ok(())
    }
}

impl Held {
    fn follow(&mut self) -> Routes {
        let mut routes = Routes::default();
        for (key, service) in &self.ledger.services {
            let live = self.services.entry(key.clone()).or_default();
            live.follow(service, self.workers);
            routes.add(&service.route.hosts, live.serving());
        }
        routes
    }

    fn status(&mut self) -> Response {
        let Self { ledger, services, .. } = self;
        let unseen = Epoch { journal: String::new(), sequence: 0 };
        let services = ledger.services.iter().filter_map(|(key, service)| {
            let epoch = ledger.fences.highest(key).unwrap_or(&unseen);
            Some(services.get_mut(key)?.status(key, epoch, service))
        });
        Response::Status { version: env!("CARGO_PKG_VERSION").to_owned(), services: services.collect() }
    }

    fn retired(&mut self, key: &ServiceKey) -> Response {
        let active = self.ledger.services.get(key).and_then(|service| service.active.as_ref());
        Response::Retired {
            serving: active.map(|active| active.targets.clone()).unwrap_or_default(),
            draining: self.services.get_mut(key).map(LiveService::draining).unwrap_or_default(),
        }
    }
}

/// One health check of each, all side by side.
async fn look(targets: &[Target], check: Option<&HealthCheck>) -> Result<(), Refusal> {
    let Some(check) = check else { return Ok(()) };
    let looks = targets.iter().map(async |target| {
        let passed = check_once(target.address, check).await;
        passed.map_err(|found| Refusal::Unready { replica: target.replica.clone(), found })
    });
    try_join_all(looks).await.map(drop)
}

fn storage(error: &Error) -> Refusal {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Refusal::Storage { message: format!("{error}{cause}") }
}
