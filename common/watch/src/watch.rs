//! What the hosts show of a new version that has traffic.

use std::time::Duration;

use cutover_control::ServiceStatus;
use cutover_core::{DeploymentId, Evidence, HostName, Replica, ServiceKey};
use cutover_fleet::{LAST_LINES, Machine, Proxy};
use futures_util::StreamExt;
use futures_util::future::{pending, try_join, try_join_all};
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::Error;
use crate::reading::reading;
use crate::replica_watch::{Charge, first_trouble, look};
use crate::tally::{Tally, TooManyErrors, counted, judge, mirrored};

/// From one reading of a proxy's counts to the next.
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// From one look at a replica to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how long a host may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host that is watched.
#[derive(Clone, Debug)]
pub struct Watched<'a> {
    /// The host.
    pub machine: &'a Machine,
    /// Its proxy.
    pub proxy: Proxy<'a>,
    /// The new replicas on it that get traffic.
    pub replicas: &'a [Replica],
    /// The names of those that get none.
    pub jobs: Vec<String>,
}

impl<'a> Watched<'a> {
    /// A host, with its proxy where it is on every host.
    pub fn new(machine: &'a Machine, replicas: &'a [Replica]) -> Self {
        Self { machine, proxy: machine.proxy(), replicas, jobs: Vec::new() }
    }

    /// All that is watched.
    fn charges(&self) -> impl Iterator<Item = Charge<'_>> {
        self.replicas.iter().map(Charge::from).chain(self.jobs.iter().map(Charge::from))
    }
}

/// Which part of a service's traffic is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What everything goes to, but for a canary's share.
    Active,
    /// The share of a canary.
    Canary,
    /// What is mirrored to a canary that has no share.
    Mirror,
}

/// The watch over a deployment that has traffic.
#[derive(Clone, Debug)]
pub struct Watch<'a> {
    /// The service.
    pub key: &'a ServiceKey,
    /// The deployment.
    pub deployment: &'a DeploymentId,
    /// Which part of the traffic it has.
    pub part: Part,
    /// The hosts that it has it on.
    pub hosts: Vec<Watched<'a>>,
    /// Whether what was counted before counts: not where it had traffic under other conditions already.
    pub from_now_on: bool,
    /// By what measure.
    pub guard: &'a cutover_core::Soak,
}

/// What the hosts have counted, in their order; nothing of one that was not read yet.
type Board = Vec<(HostName, Option<Tally>)>;

impl Watch<'_> {
    /// Watches until `end`, takes a last look at everything, and answers with what was counted. On the way each count is told
    /// to `counting`.
    ///
    /// # Errors
    /// At once, where a replica can't serve any more, there are too many errors, or a proxy serves something else; after
    /// 5 s, where a host can't be watched; and what `end` fails with.
    pub async fn run<E: From<Error>>(
        &self,
        end: impl Future<Output = Result<(), E>>,
        counting: impl Fn(Evidence),
    ) -> Result<Evidence, E> {
        let mut board: Board = self.hosts.iter().map(|host| (host.machine.name().clone(), None)).collect();
        tokio::select! {
            error = self.first_trouble() => return Err(error.into()),
            error = self.count(&mut board, counting) => return Err(error.into()),
            ended = end => ended?,
        }
        let services = try_join_all(self.hosts.iter().map(|host| self.last_look(host))).await?;
        for (index, service) in services.iter().enumerate() {
            self.take(&mut board, index, service.as_ref())?;
        }
        match judge(self.guard, &read(&board)) {
            Ok(evidence) => Ok(evidence),
            Err(verdict) => Err(self.condemn(verdict).await.into()),
        }
    }

    /// Counts on every host at its own pace, and judges after each reading. Returns only where that fails.
    async fn count(&self, board: &mut Board, counting: impl Fn(Evidence)) -> Error {
        let first = self.hosts.iter().enumerate();
        let mut readings: FuturesUnordered<_> =
            first.map(|(index, host)| self.read(index, host, Duration::ZERO)).collect();
        while let Some((index, service)) = readings.next().await {
            let taken = service.and_then(|service| self.take(board, index, service.as_ref()));
            if let Err(error) = taken {
                return error;
            }
            match judge(self.guard, &read(board)) {
                Ok(evidence) => counting(evidence),
                Err(verdict) => return self.condemn(verdict).await,
            }
            if let Some(host) = self.hosts.get(index) {
                readings.push(self.read(index, host, COUNT_EVERY));
            }
        }
        pending().await
    }

    /// Reads a host's proxy once, after a wait.
    async fn read(
        &self,
        index: usize,
        host: &Watched<'_>,
        wait: Duration,
    ) -> (usize, Result<Option<ServiceStatus>, Error>) {
        sleep(wait).await;
        (index, self.service(host).await)
    }

    /// What a host's proxy says of the service.
    async fn service(&self, host: &Watched<'_>) -> Result<Option<ServiceStatus>, Error> {
        reading(host.machine, "what its proxy counts", PATIENCE, || host.proxy.service(self.key)).await
    }

    /// Looks at a host once more: what its proxy says, and whether its replicas live.
    async fn last_look(&self, host: &Watched<'_>) -> Result<Option<ServiceStatus>, Error> {
        let looks = host.charges().map(|charge| look(host.machine, charge, PATIENCE));
        let (service, _) = try_join(self.service(host), try_join_all(looks)).await?;
        Ok(service)
    }

    /// Takes in what a host's proxy says.
    fn take(&self, board: &mut Board, index: usize, service: Option<&ServiceStatus>) -> Result<(), Error> {
        let Some((host, tally)) = board.get_mut(index) else { return Ok(()) };
        let seen = service.and_then(|service| match self.part {
            Part::Active => service.active.as_ref().map(|set| (&set.deployment, counted(set))),
            Part::Canary => {
                service.canary.as_ref().map(|canary| (&canary.set.deployment, counted(&canary.set)))
            }
            Part::Mirror => service.canary.as_ref().map(|canary| (&canary.set.deployment, mirrored(canary))),
        });
        match seen {
            Some((deployment, evidence)) if deployment == self.deployment.as_str() => match tally {
                Some(tally) => tally.take(evidence),
                None if self.from_now_on => *tally = Some(Tally::from_now_on(evidence)),
                None => tally.insert(Tally::default()).take(evidence),
            },
            other => {
                let (host, deployment) = (host.clone(), self.deployment.clone());
                let serving = other.map(|(deployment, _)| deployment.clone());
                return Err(Error::NotServing { host, deployment, serving });
            }
        }
        Ok(())
    }

    /// Watches the replicas on all hosts. Returns only once one can't serve any more, or can't be watched.
    async fn first_trouble(&self) -> Error {
        let hosts = self.hosts.iter();
        let mut watches: FuturesUnordered<_> =
            hosts.map(|host| first_trouble(host.machine, host.charges(), LOOK_EVERY, PATIENCE)).collect();
        match watches.next().await {
            Some(error) => error,
            None => pending().await,
        }
    }

    /// The verdict, with the last lines of a replica on the host with the most errors.
    async fn condemn(&self, verdict: TooManyErrors) -> Error {
        let worst = self.hosts.iter().find(|host| Some(host.machine.name()) == verdict.worst());
        let replica = worst.and_then(|host| Some((host.machine, host.replicas.first()?)));
        let last_lines = match replica {
            Some((machine, replica)) => machine.last_lines(&replica.name, LAST_LINES).await,
            None => Vec::new(),
        };
        Error::TooManyErrors { verdict, last_lines }
    }
}

/// What was read so far.
fn read(board: &Board) -> Vec<(HostName, Tally)> {
    board.iter().map(|(host, tally)| (host.clone(), tally.unwrap_or_default())).collect()
}
