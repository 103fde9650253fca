use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use cutover_control::{Call, Challenge, Epoch, Refusal, Reply, Request, Response, ServiceKey, ServiceStatus};
use tokio::sync::{Mutex, MutexGuard};

use super::control_server::{Callee, instance};
use super::ledger::{Ledger, Service};
use super::live_service::LiveService;
use super::store::Store;
use crate::routes::{RouteTable, Routes};
use crate::takeover::{Gone, Predecessor, overlap};
use crate::targets::health::look;
use crate::tls::Custody;
use crate::traffic::BootClock;

/// Carries out control calls, one at a time: the ledger decides, the store makes it durable, then the routes change,
/// then the call is answered.
#[derive(Debug)]
pub(crate) struct Plane {
    routes: Arc<RouteTable>,
    store: Store,
    /// This process, in words that no other one has.
    instance: String,
    held: Mutex<Held>,
}

/// The ledger and what runs because of it; the two only change together.
#[derive(Debug)]
struct Held {
    ledger: Ledger,
    custody: Custody,
    clock: BootClock,
    /// How many there are to serve the targets.
    workers: usize,
    services: BTreeMap<ServiceKey, LiveService>,
    /// The proxy that served before, as long as it has something in flight.
    predecessor: Option<Predecessor>,
    /// Another proxy has taken over.
    handed_over: bool,
}

/// The plane while nothing can change.
#[derive(Debug)]
pub(crate) struct Frozen<'a>(MutexGuard<'a, Held>);

impl Plane {
    /// Brings up what a ledger says, for a number of workers.
    pub(crate) async fn start(
        store: Store,
        ledger: Ledger,
        custody: Custody,
        routes: Arc<RouteTable>,
        workers: usize,
    ) -> Self {
        let (services, clock) = (BTreeMap::new(), BootClock::new());
        let (predecessor, handed_over) = (None, false);
        let mut held = Held { ledger, custody, clock, workers, services, predecessor, handed_over };
        routes.install(held.follow()).await;
        Self { routes, store, instance: instance(), held: Mutex::new(held) }
    }

    /// Goes on where another proxy was, and from now on says what that one has in flight as its own.
    pub(crate) async fn succeed(
        &self,
        predecessor: Predecessor,
        services: &[ServiceStatus],
        challenges: Vec<Challenge>,
    ) {
        let mut held = self.held.lock().await;
        for challenge in challenges {
            if let Err(refusal) = held.custody.answer(challenge) {
                tracing::warn!(%refusal, "a challenge that was answered before is not answered any more");
            }
        }
        for before in services {
            if let Some(live) = held.services.get_mut(&before.key) {
                live.resume(before);
            }
        }
        held.predecessor = Some(predecessor);
    }

    /// Has the predecessor, where there is one, accept nothing more.
    ///
    /// # Errors
    ///
    /// When it can't be reached any more.
    pub(crate) async fn relieve(&self) -> io::Result<()> {
        match &mut self.held.lock().await.predecessor {
            Some(predecessor) => predecessor.relieve().await,
            None => Ok(()),
        }
    }

    /// Sends the requests away that wait at a paused service: the proxy is about to end, and nobody will resume it.
    pub(crate) async fn turn_away(&self) {
        self.held.lock().await.services.values().for_each(LiveService::turn_away);
    }

    /// What goes on, and became of the requests so far; without what the predecessor has in flight where that says nothing.
    ///
    /// To its end, whether the caller stays or not: an answer of the predecessor that nobody reads would be taken for that to
    /// the next question.
    pub(crate) async fn services(self: &Arc<Self>) -> Vec<ServiceStatus> {
        let plane = Arc::clone(self);
        let told = tokio::spawn(async move {
            let mut held = plane.held.lock().await;
            match held.all_services().await {
                Ok(services) => services,
                Err(_) => held.own_services(),
            }
        });
        // Cancelled only where the process ends.
        told.await.unwrap_or_default()
    }

    /// Lets the calls that are being carried out end, and no other begin.
    pub(crate) async fn freeze(&self) -> Frozen<'_> {
        Frozen(self.held.lock().await)
    }

    /// Does what the successor was told, which has stored it.
    pub(crate) async fn follow(&self, ledger: Ledger) {
        let mut held = self.held.lock().await;
        held.ledger = ledger;
        self.routes.install(held.follow()).await;
    }

    async fn carry_out(&self, call: Call) -> Result<Response, Stop> {
        let mut held = self.changing().await?;
        let mut next = held.ledger.clone();
        match call.request {
            Request::Status => {
                let services = held.all_services().await?;
                let (version, instance) = (env!("CARGO_PKG_VERSION").to_owned(), self.instance.clone());
                Ok(Response::Status { version, instance, services })
            }
            Request::Switch(switch) => {
                // Decided once to refuse at once what must be refused, and again afterwards: the look takes its time, and
                // a newer claim may come meanwhile.
                next.switch(&switch)?;
                let newcomers = held.ledger.newcomers(&switch);
                drop(held);
                look(&newcomers, switch.upstream.application_protocol, switch.health.as_ref()).await?;
                let mut held = self.changing().await?;
                let mut next = held.ledger.clone();
                let previous = next.switch(&switch)?;
                self.commit(&mut held, next).await?;
                tracing::info!(key = %switch.key, deployment = switch.deployment, previous, "switched");
                Ok(Response::Switched { previous })
            }
            Request::Canary(canary) => {
                let switch = &canary.switch;
                next.canary(&canary, held.clock.after(canary.hold_ms))?;
                let newcomers = held.ledger.new_canaries(switch);
                drop(held);
                look(&newcomers, switch.upstream.application_protocol, switch.health.as_ref()).await?;
                let mut held = self.changing().await?;
                let mut next = held.ledger.clone();
                let active = next.canary(&canary, held.clock.after(canary.hold_ms))?;
                self.commit(&mut held, next).await?;
                tracing::debug!(key = %switch.key, deployment = switch.deployment, canary.weight, "weighted");
                Ok(Response::Weighted { active })
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
                let Held { ledger, custody, .. } = &mut *held;
                if let Some(service) = ledger.services.get(&key) {
                    custody.forget_others(&key, &service.claims.hosts()).await?;
                }
                Ok(held.retired(&key).await?)
            }
            Request::Adopt { key, journal } => {
                next.fences.adopt(&key, &journal);
                self.commit(&mut held, next).await?;
                tracing::info!(%key, journal, "adopted");
                Ok(Response::Adopted)
            }
            Request::Pause(pause) => {
                next.pause(&pause, held.clock.after(pause.hold_ms))?;
                self.commit(&mut held, next).await?;
                tracing::info!(key = %pause.key, pause.hold_ms, "paused");
                Ok(Response::Paused)
            }
            Request::Resume { key, journal } => {
                next.resume(&key, journal.as_deref())?;
                self.commit(&mut held, next).await?;
                tracing::info!(%key, "resumed");
                Ok(Response::Resumed)
            }
            Request::Maintenance(maintenance) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                if maintenance.until.is_some_and(|until| u128::from(until) <= now.as_millis()) {
                    let message = format!("{}: by this host's clock, that is over already", maintenance.key);
                    return Err(Refusal::Invalid { message }.into());
                }
                next.maintain(&maintenance)?;
                self.commit(&mut held, next).await?;
                tracing::info!(key = %maintenance.key, "under maintenance");
                Ok(Response::Away)
            }
            Request::EndMaintenance { key, journal } => {
                next.end_maintenance(&key, journal.as_deref())?;
                self.commit(&mut held, next).await?;
                tracing::info!(%key, "maintenance has ended");
                Ok(Response::Back)
            }
            Request::Certify { key, certificate } => Ok(held.custody.certify(key, certificate).await?),
            Request::Certificates => Ok(held.custody.told()),
            Request::KeepAccount { account } => Ok(held.custody.keep_account(account).await?),
            Request::Answer { challenge } => Ok(held.custody.answer(challenge)?),
        }
    }

    async fn changing(&self) -> Result<MutexGuard<'_, Held>, Stop> {
        let held = self.held.lock().await;
        if held.handed_over { Err(Stop::HandedOver) } else { Ok(held) }
    }

    async fn commit(&self, held: &mut Held, next: Ledger) -> Result<(), Refusal> {
        if held.ledger == next {
            return Ok(());
        }
        self.store.keep(&next).await?;
        held.ledger = next;
        self.routes.install(held.follow()).await;
        let Held { ledger, predecessor, .. } = held;
        if let Some(other) = predecessor
            && let Err(Gone::Ended) = other.follow(ledger).await
        {
            *predecessor = None;
        }
        Ok(())
    }
}

impl Callee for Plane {
    /// None: another proxy has taken over.
    async fn call(&self, call: Call) -> Option<Reply> {
        match self.carry_out(call).await {
            Ok(response) => Some(Ok(response)),
            Err(Stop::Refused(refusal)) => Some(Err(refusal)),
            Err(Stop::HandedOver) => None,
        }
    }
}

/// Why a call was not carried out.
#[derive(Debug)]
enum Stop {
    Refused(Refusal),
    HandedOver,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Frozen<'_> {
    /// What became of the requests so far, of those of this process alone.
    pub(crate) fn services(&mut self) -> Vec<ServiceStatus> {
        self.0.own_services()
    }

    /// What a certificate authority may still ask.
    pub(crate) fn challenges(&self) -> Vec<Challenge> {
        self.0.custody.challenges()
    }

    /// Whether the proxy before this one has ended: what it has in flight could not be told to a third.
    pub(crate) async fn is_alone(&mut self) -> bool {
        self.0.predecessors().await.is_ok() && self.0.predecessor.is_none()
    }

    /// Another proxy has taken over: no call is carried out here any more.
    pub(crate) fn hand_over(mut self) {
        self.0.handed_over = true;
    }
}

impl Held {
    fn follow(&mut self) -> Routes {
        let mut routes = Routes::default();
        for (key, service) in &self.ledger.services {
            let live = self.services.entry(key.clone()).or_default();
            live.follow(key, service, self.workers, &self.clock);
            routes.add(&service.claims, live.serving(), live.regulation().as_ref());
        }
        routes
    }

    fn own_services(&mut self) -> Vec<ServiceStatus> {
        let Self { ledger, custody, services, clock, .. } = self;
        let unseen = Epoch { journal: String::new(), sequence: 0 };
        let services = ledger.services.iter().filter_map(|(key, service)| {
            let epoch = ledger.fences.highest(key).unwrap_or(&unseen);
            let status = services.get_mut(key)?.status(key, epoch, service, clock);
            Some(ServiceStatus { certificates: custody.status(key), ..status })
        });
        services.collect()
    }

    /// The same together with what the predecessor still has in flight.
    async fn all_services(&mut self) -> Result<Vec<ServiceStatus>, Refusal> {
        let mut services = self.own_services();
        for theirs in self.predecessors().await? {
            if let Some(ours) = services.iter_mut().find(|ours| ours.key == theirs.key) {
                overlap::add(ours, theirs);
            }
        }
        Ok(services)
    }

    async fn retired(&mut self, key: &ServiceKey) -> Result<Response, Refusal> {
        let serving = self.ledger.services.get(key).map(Service::serving).unwrap_or_default();
        let mut draining = self.services.get_mut(key).map(LiveService::draining).unwrap_or_default();
        let theirs = self.predecessors().await?.into_iter().filter(|theirs| theirs.key == *key);
        draining.extend(theirs.flat_map(overlap::draining));
        Ok(Response::Retired { serving, draining })
    }

    /// What the predecessor says; nothing: there is none, or it has ended.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unsettled`].
    async fn predecessors(&mut self) -> Result<Vec<ServiceStatus>, Refusal> {
        let Some(predecessor) = &mut self.predecessor else { return Ok(Vec::new()) };
        match predecessor.busy().await {
            Ok(services) => Ok(services),
            Err(Gone::Silent) => Err(Refusal::Unsettled),
            Err(Gone::Ended) => {
                self.predecessor = None;
                Ok(Vec::new())
            }
        }
    }
}
