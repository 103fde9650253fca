//! Duties: what is done for each service by one program at a time, whichever holds the lease.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cutover_core::{Duty, LeaseTerms, ServiceKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::lease::Leases;
use crate::logs::Logs;
use crate::{Error, Held, Journal};

/// Ended deployments of a service whose entries stay in the log.
pub(crate) const KEPT_DEPLOYMENTS: usize = 20;
/// How long giving the leases back may take: what isn't given back runs out.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(2);

/// How often duties are done.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long leases last.
    pub lease: LeaseTerms,
    /// How often new services are looked for.
    pub services_every: Duration,
    /// How often a service is swept.
    pub sweep_every: Duration,
    /// How often its log is purged.
    pub purge_every: Duration,
    /// Ended deployments whose entries stay; none: all entries do.
    pub kept_deployments: Option<usize>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: LeaseTerms::default(),
            services_every: Duration::from_secs(10),
            sweep_every: Duration::from_secs(10),
            purge_every: Duration::from_secs(600),
            kept_deployments: Some(KEPT_DEPLOYMENTS),
        }
    }
}

/// What a duty does.
pub trait StandingWork: Send + Sync + 'static {
    /// Which duty it is.
    const DUTY: Duty;

    /// Does it for a service, from the moment that its lease is taken. It is dropped when the lease is lost, at any point: what
    /// it does must do no harm when it is done twice.
    fn hold(&self, held: Held) -> impl Future<Output = ()> + Send;
}

/// Takes part in the leases of all services, and does a duty for those whose lease it holds, until it is told to stop. `name`
/// is the candidate's, for people.
///
/// # Errors
/// [`Error::OtherJournal`], when the server comes back with another journal.
pub async fn hold<W: StandingWork>(
    journal: Journal,
    name: &str,
    work: W,
    stop: CancellationToken,
) -> Result<(), Error> {
    hold_at(Pace::default(), Arc::new(Logs::new(journal)), name, work, stop).await
}

/// The same, at another pace, with what is read of the logs already.
pub(crate) async fn hold_at<W: StandingWork>(
    pace: Pace,
    logs: Arc<Logs>,
    name: &str,
    work: W,
    stop: CancellationToken,
) -> Result<(), Error> {
    let leases = Leases::new(logs.journal().clone(), W::DUTY, name, pace.lease);
    let (work, now) = (Arc::new(work), Instant::now());
    let mut holder =
        Holder { logs, pace, leases, work, next_services: now, next_look: now, at_work: BTreeMap::new() };
    loop {
        let error = tokio::select! {
            done = holder.go_on() => match done {
                Ok(()) => continue,
                Err(error) => error,
            },
            () = stop.cancelled() => break,
        };
        if error.ends_the_program() {
            return Err(error);
        }
        tracing::warn!(duty = %W::DUTY, %error, "leases can't be looked at");
    }
    // Nothing more is done before another may begin.
    holder.at_work.clear();
    match tokio::time::timeout(GIVE_BACK_LIMIT, holder.leases.give_back()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "leases were not given back: they run out"),
        Err(_) => tracing::debug!("leases were not given back in time: they run out"),
    }
    Ok(())
}

/// A duty for all services whose lease this program holds, each in a task of its own: what takes long for one service must
/// not cost the leases of all.
struct Holder<W> {
    logs: Arc<Logs>,
    pace: Pace,
    leases: Leases,
    work: Arc<W>,
    next_services: Instant,
    next_look: Instant,
    /// Each with the epoch that it is done under.
    at_work: BTreeMap<ServiceKey, (u64, AbortOnDropHandle<()>)>,
}

impl<W: StandingWork> Holder<W> {
    /// Waits until the leases are looked at again, and looks: at the latest before one of them would run out.
    async fn go_on(&mut self) -> Result<(), Error> {
        tokio::time::sleep_until(self.next_look).await;
        let LeaseTerms { lasts, renewed_every, margin } = self.pace.lease;
        self.next_look = Instant::now() + renewed_every;
        let limit = lasts.saturating_sub(margin).saturating_sub(renewed_every);
        let looked = tokio::time::timeout(limit, self.look()).await;
        self.hold();
        looked.unwrap_or(Err(Error::Timeout { doing: "looking at leases", seconds: limit.as_secs() }))
    }

    /// Takes part in the leases of services that are new, and looks at all.
    async fn look(&mut self) -> Result<(), Error> {
        self.logs.check_journal().await?;
        if self.next_services <= Instant::now() {
            self.next_services = Instant::now() + self.pace.services_every;
            // What is known already is enough to renew leases, which can't wait for long.
            match tokio::time::timeout(self.pace.lease.margin / 2, self.services()).await {
                Ok(Ok(services)) => self.leases.take_part(services),
                Ok(Err(error)) if error.ends_the_program() => return Err(error),
                Ok(Err(error)) => tracing::warn!(%error, "new services can't be looked for"),
                Err(_) => tracing::warn!("new services are not all looked at yet"),
            }
        }
        self.leases.look().await
    }

    /// The services that there are, to a journal that knows whose signatures it takes: a key that was retired says nothing by which
    /// that would be noticed.
    async fn services(&self) -> Result<Vec<ServiceKey>, Error> {
        self.logs.journal().read_roster(0).await?;
        self.logs.journal().services().await
    }

    /// Does the duty for the services whose lease is held, and for no others.
    fn hold(&mut self) {
        let held: BTreeMap<&ServiceKey, u64> = self.leases.held().collect();
        self.at_work.retain(|key, (epoch, _)| held.get(key) == Some(epoch));
        for (key, epoch) in held {
            if self.at_work.contains_key(key) {
                continue;
            }
            let held = Held::new(Arc::clone(&self.logs), W::DUTY, key.clone(), epoch);
            let work = Arc::clone(&self.work);
            let task = tokio::spawn(async move { work.hold(held).await });
            self.at_work.insert(key.clone(), (epoch, AbortOnDropHandle::new(task)));
        }
    }
}
