//! The duty of the watch: what is live is asked for ever whether it lives, and a replica that doesn't is started anew.
//!
//! A restart is not claimed like a task: it changes nothing that the journal says, and a second one does no harm but the time
//! that it takes. So it is fenced by looking, last of all before it is made, whether no deployment runs and the lease is still
//! held; and it is noted before, so that whoever holds the lease next keeps the distance.

mod clock;
mod families;
mod gate;
mod live_replica;
mod restarter;
mod rounds;
mod service_watch;

use std::convert::Infallible;
use std::time::Duration;

use cutover_bus::{Held, StandingWork};
use cutover_core::{Duty, WatchNote};
use cutover_fleet::Fleet;
use cutover_telemetry::Metrics;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use clock::Clock;
use families::Families;
use gate::Gate;
use live_replica::LiveReplica;
use restarter::Restarter;
use service_watch::ServiceWatch;

/// So often it is looked whether something else is live than before.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The watch over all that is live, of the services whose lease this program holds.
#[derive(Debug)]
pub struct StandingWatch {
    fleet: Fleet,
    gate: Gate,
    families: Families,
}

impl StandingWatch {
    /// A watch over hosts that are reached through `fleet`, which shows what it finds among `metrics`.
    ///
    /// # Errors
    /// Metrics that show it already.
    pub fn new(fleet: Fleet, metrics: &Metrics) -> Result<Self, cutover_telemetry::Error> {
        Ok(Self { fleet, gate: Gate::default(), families: Families::new(metrics)? })
    }

    async fn watch(&self, held: &Held) -> Result<Infallible, cutover_bus::Error> {
        let note: WatchNote = held.note().await?.unwrap_or_default();
        let live = LiveReplica::of(held.key(), &held.service().await?);
        let clock = Clock::set();
        let (tell, told) = watch::channel(live);
        let (key, fleet) = (held.key(), &self.fleet);
        let restarter = Restarter { held, fleet, clock, note: Mutex::new(note.clone()) };
        let watch = ServiceWatch { key, fleet, gate: &self.gate, families: &self.families, clock };
        tokio::select! {
            never = watch.run(told, &note, |failed| restarter.restart(failed)) => match never {},
            never = follow(held, &tell) => match never {},
        }
    }
}

/// Tells what is live, whenever that has changed. What can't be read is as it was: the lease runs out before that lasts long.
async fn follow(held: &Held, tell: &watch::Sender<Vec<LiveReplica>>) -> Infallible {
    loop {
        sleep(LOOK_EVERY).await;
        match held.service().await {
            Ok(service) => {
                let live = LiveReplica::of(held.key(), &service);
                tell.send_if_modified(|told| {
                    let is_news = *told != live;
                    *told = live;
                    is_news
                });
            }
            Err(error) => {
                tracing::warn!(service = %held.key(), %error, "what is live could not be read");
            }
        }
    }
}

impl StandingWork for StandingWatch {
    const DUTY: Duty = Duty::Watch;

    async fn hold(&self, held: Held) {
        loop {
            let Err(error) = self.watch(&held).await;
            tracing::warn!(service = %held.key(), %error, "what is live could not be watched");
            sleep(LOOK_EVERY).await;
        }
    }
}
