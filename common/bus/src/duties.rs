//! Duties: what is done for each service by one program at a time, whichever holds the lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cutover_core::{Duty, LeaseTerms, ServiceKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::lease::Leases;
use crate::logs::Logs;
use crate::stored::now;

/// Ended deployments of a service whose entries stay in the log.
const KEPT_DEPLOYMENTS: usize = 20;
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

/// The sweep of all services whose lease this program holds.
struct Sweep {
    logs: Arc<Logs>,
    pace: Pace,
    leases: Leases,
    next_services: Instant,
    next_look: Instant,
    due: BTreeMap<ServiceKey, Due>,
}

/// When a service comes next.
#[derive(Clone, Copy)]
struct Due {
    sweep: Instant,
    purge: Instant,
}

/// Takes part in the leases of all services, and sweeps those whose lease it holds, until it is told to stop.
///
/// # Errors
/// [`Error::OtherJournal`].
pub(crate) async fn sweep(
    logs: Arc<Logs>,
    pace: Pace,
    name: String,
    stop: CancellationToken,
) -> Result<(), Error> {
    let leases = Leases::new(logs.journal().bus().clone(), Duty::Sweep, &name, pace.lease);
    let now = Instant::now();
    let mut sweep = Sweep { logs, pace, leases, next_services: now, next_look: now, due: BTreeMap::new() };
    loop {
        let error = tokio::select! {
            done = sweep.go_on() => match done {
                Ok(()) => continue,
                Err(error) => error,
            },
            () = stop.cancelled() => break,
        };
        if matches!(error, Error::OtherJournal { .. }) {
            return Err(error);
        }
        tracing::warn!(%error, "leases can't be looked at");
    }
    match tokio::time::timeout(GIVE_BACK_LIMIT, sweep.leases.give_back()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "leases were not given back: they run out"),
        Err(_) => tracing::debug!("leases were not given back in time: they run out"),
    }
    Ok(())
}

impl Sweep {
    /// The next thing to do, or waiting for it: looking at the leases first, then one service. What takes long for one service
    /// must not cost the leases of all.
    async fn go_on(&mut self) -> Result<(), Error> {
        if self.next_look <= Instant::now() {
            self.next_look = Instant::now() + self.pace.lease.renewed_every;
            return self.look().await;
        }
        let next = self.due.iter().min_by_key(|(_, due)| due.sweep).map(|(key, due)| (key.clone(), *due));
        match next {
            Some((key, due)) if due.sweep <= Instant::now() => self.sweep(&key, due).await,
            Some((_, due)) => tokio::time::sleep_until(due.sweep.min(self.next_look)).await,
            None => tokio::time::sleep_until(self.next_look).await,
        }
        Ok(())
    }

    /// Takes part in the leases of services that are new, and looks at all.
    async fn look(&mut self) -> Result<(), Error> {
        self.logs.check_journal().await?;
        if self.next_services <= Instant::now() {
            self.next_services = Instant::now() + self.pace.services_every;
            match self.logs.journal().services().await {
                Ok(services) => self.leases.take_part(services),
                Err(error) => tracing::warn!(%error, "new services can't be looked for"),
            }
        }
        self.leases.look().await?;
        let now = Instant::now();
        let known = std::mem::take(&mut self.due);
        let due = |key: &ServiceKey| known.get(key).copied().unwrap_or(Due { sweep: now, purge: now });
        self.due = self.leases.held().map(|key| (key.clone(), due(key))).collect();
        Ok(())
    }

    /// Looks whether something is due for a service that nobody has published, and purges now and then. Doing it twice does no
    /// harm, were the lease lost in the meantime.
    async fn sweep(&mut self, key: &ServiceKey, due: Due) {
        if !self.leases.holds(key) {
            self.due.remove(key);
            return;
        }
        let begun = Instant::now();
        let mut next = Due { sweep: begun + self.pace.sweep_every, ..due };
        let work = async {
            self.logs.carry_out(key, now()).await?;
            if let Some(kept) = self.pace.kept_deployments.filter(|_| due.purge <= begun) {
                self.logs.journal().purge(key, kept).await?;
                next.purge = begun + self.pace.purge_every;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(self.pace.lease.renewed_every, work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(service = %key, %error, "a service could not be swept"),
            Err(_) => tracing::warn!(service = %key, "a service could not be swept in time"),
        }
        self.due.insert(key.clone(), next);
    }
}
