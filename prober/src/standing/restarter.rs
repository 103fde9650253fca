//! A live replica that has failed is started anew, if it may be.

use cutover_bus::Held;
use cutover_core::{Service, ServiceKey, WatchNote};
use cutover_fleet::{Condition, Fleet, Machine};
use tokio::sync::Mutex;

use super::clock::Clock;
use super::live_replica::LiveReplica;
use super::rounds::{Failed, Restart};

/// Starts replicas of one service anew, as long as its lease is held.
pub(crate) struct Restarter<'a> {
    pub(crate) held: &'a Held,
    pub(crate) fleet: &'a Fleet,
    pub(crate) clock: Clock,
    /// What is noted of all of them.
    pub(crate) note: Mutex<WatchNote>,
}

/// Why a replica is not started anew.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("another prober may watch this service by now")]
    NotHeld,
    #[error("a deployment of this service runs, and comes first")]
    DeploymentRuns,
    #[error("it is no replica of what is live any more")]
    NotLive,
    #[error("another control plane deploys this service on that host")]
    OtherJournal,
    #[error("the service is paused or under maintenance on that host")]
    Halted,
    #[error("its container is gone: the next deployment makes it anew")]
    Gone,
    #[error("its container belongs to no replica of what is live")]
    OtherContainer,
    #[error("its container {0}: Docker starts it anew by itself")]
    NotRunning(String),
    #[error("the journal can't be read or written")]
    Bus(#[from] cutover_bus::Error),
    #[error(transparent)]
    Fleet(Box<cutover_fleet::Error>),
}

impl From<cutover_fleet::Error> for Refused {
    fn from(error: cutover_fleet::Error) -> Self {
        Self::Fleet(Box::new(error))
    }
}

impl Restarter<'_> {
    /// Starts it anew, if everything that was known of it when it failed still holds.
    pub(crate) async fn restart(&self, failed: Failed) -> (Failed, Restart) {
        let tried =
            async { if failed.exited { self.note_exit(&failed).await } else { self.try_to(&failed).await } };
        let came = match Box::pin(tried).await {
            Ok(came) => came,
            Err(refused) => Restart::Refused(cutover_core::Failure::of(&refused, true).message),
        };
        (failed, came)
    }

    async fn try_to(&self, failed: &Failed) -> Result<Restart, Refused> {
        let LiveReplica { host, replica, terms, .. } = &*failed.live;
        let machine = self.fleet.machine(host);
        self.asks_the_proxy(&machine).await?;
        let Some(container) = machine.condition(&replica.name).await? else { return Err(Refused::Gone) };
        is_the_same(self.held.key(), &container, &failed.live)?;
        // By the host's own clock. Whoever has started it, it gets the time that a new replica has.
        if let (Some(started), Some(now)) = (container.started_at, machine.clock().await?)
            && let Some(left) = terms.ready.checked_sub(now.since(started)).filter(|left| !left.is_zero())
        {
            return Ok(Restart::Young(left));
        }
        // What is asked last is what others may have changed meanwhile.
        let live = may_be_restarted(self.held.key(), &self.held.service().await?, &failed.live)?;
        let mut note = self.note.lock().await;
        note.keep(|host, name| live.iter().any(|live| live.host.name == *host && live.replica.name == name));
        if !self.held.is_held().await? {
            return Err(Refused::NotHeld);
        }
        // Written down before: whoever takes over knows that it was started, though this one is gone.
        let restarted = note.add(&host.name, &replica.name, self.clock.now(), &failed.said);
        self.held.set_note(&*note).await?;
        drop(note);
        match machine.restart(&container.id, &replica.name, terms.stop).await {
            Ok(()) => Ok(Restart::Done(restarted)),
            Err(error) => {
                let (service, host, replica) = (self.held.key(), &host.name, &replica.name);
                let error = cutover_core::Failure::of(&error, true).message;
                tracing::warn!(%service, %host, %replica, error, "a replica could not be started anew");
                Ok(Restart::Broken(restarted))
            }
        }
    }

    /// Notes that Docker has started it anew, and why it had ended.
    async fn note_exit(&self, failed: &Failed) -> Result<Restart, Refused> {
        let LiveReplica { host, replica, .. } = &*failed.live;
        let machine = self.fleet.machine(host);
        let Some(container) = machine.condition(&replica.name).await? else { return Err(Refused::Gone) };
        let why = machine.last_exit(&container).await?.unwrap_or_else(|| "it ended".to_owned());
        let live = LiveReplica::of(self.held.key(), &self.held.service().await?);
        let mut note = self.note.lock().await;
        note.keep(|host, name| live.iter().any(|live| live.host.name == *host && live.replica.name == name));
        if !self.held.is_held().await? {
            return Err(Refused::NotHeld);
        }
        let restarted = note.add(&host.name, &replica.name, self.clock.now(), &why);
        self.held.set_note(&*note).await?;
        Ok(Restart::Noted(restarted))
    }

    /// Whether the host still obeys this journal, and nobody works on the service there. A proxy that can't be asked is no leave.
    async fn asks_the_proxy(&self, machine: &Machine) -> Result<(), Refused> {
        let Some(service) = machine.proxy().service(self.held.key()).await? else {
            return Err(Refused::NotLive);
        };
        if service.epoch.journal != self.held.journal_id().0 {
            return Err(Refused::OtherJournal);
        }
        if service.pause.is_some() || service.maintenance.is_some() {
            return Err(Refused::Halted);
        }
        Ok(())
    }
}

/// All that is live, if the journal lets one of them be started anew.
fn may_be_restarted(
    key: &ServiceKey,
    service: &Service,
    replica: &LiveReplica,
) -> Result<Vec<LiveReplica>, Refused> {
    if service.running().is_some() {
        return Err(Refused::DeploymentRuns);
    }
    let live = LiveReplica::of(key, service);
    if live.contains(replica) { Ok(live) } else { Err(Refused::NotLive) }
}

/// Whether a container is that of the replica, and runs.
fn is_the_same(key: &ServiceKey, container: &Condition, replica: &LiveReplica) -> Result<(), Refused> {
    let is_it = match &replica.network {
        None => container.labels.as_ref().is_some_and(|labels| labels.deployment == replica.deployment),
        // Whichever deployment has made it.
        Some(network) => {
            container.sidecar.as_ref().is_some_and(|labels| labels.key == *key)
                && container.networks.contains_key(network)
        }
    };
    if !is_it {
        return Err(Refused::OtherContainer);
    }
    if container.running { Ok(()) } else { Err(Refused::NotRunning(not_running(container))) }
}

fn not_running(container: &Condition) -> String {
    container.trouble().unwrap_or_else(|| "doesn't run".to_owned())
}
