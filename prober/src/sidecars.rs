//! The sidecars that new replicas ask: they must be ready before those get traffic.

use std::time::Duration;

use cutover_core::{ApplicationProtocol, Plan, Replica, Sidecar};
use cutover_fleet::{Machine, SidecarContainer};
use cutover_watch::{Charge, look};
use futures_util::future::try_join_all;

use crate::{Error, Probe, Questions, Step};

/// The sidecars of a deployment on a host.
#[derive(Debug)]
pub(crate) struct Sidecars<'a> {
    machine: &'a Machine,
    plan: &'a Plan,
    there: Vec<SidecarContainer>,
}

impl<'a> Sidecars<'a> {
    /// Those that are on the host.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub(crate) async fn look(machine: &'a Machine, plan: &'a Plan) -> Result<Self, Error> {
        let mut there = Vec::new();
        if !plan.release.settings.sidecars.is_empty() {
            there = machine.sidecars(&plan.key).await.map_err(Box::new)?;
            there.retain(|sidecar| sidecar.serves(&plan.key, plan.booted_by()));
        }
        Ok(Self { machine, plan, there })
    }

    /// The names of the containers that the deployment has made. The others served before, and may have been started anew in their time.
    pub(crate) fn new_ones(&self) -> Vec<String> {
        let new = self.there.iter().filter(|sidecar| sidecar.labels.deployment == self.plan.deployment);
        new.map(|sidecar| sidecar.name.clone()).collect()
    }

    /// Waits until all are ready; answers with the number of questions that it took. `elapsed` is how much of the limit has passed, under
    /// workers that are gone.
    ///
    /// # Errors
    /// One that isn't there, doesn't run, or isn't ready within `timeouts.ready`.
    pub(crate) async fn ready(&self, elapsed: Duration) -> Result<u32, Error> {
        let sidecars = &self.plan.release.settings.sidecars;
        let asked = try_join_all(sidecars.iter().map(|sidecar| self.one_ready(sidecar, elapsed))).await?;
        Ok(asked.into_iter().sum())
    }

    async fn one_ready(&self, sidecar: &Sidecar, elapsed: Duration) -> Result<u32, Error> {
        let settings = sidecar.settings(&self.plan.release.settings);
        let replicas = self.replicas(sidecar).await?;
        let probe = Probe {
            machine: self.machine,
            replicas: &replicas,
            questions: Questions::of(&settings),
            protocol: ApplicationProtocol::default(),
            limit: settings.timeouts.ready,
            elapsed,
        };
        Box::pin(probe.ready(&Step::default())).await
    }

    /// Where it is asked.
    async fn replicas(&self, sidecar: &Sidecar) -> Result<Vec<Replica>, Error> {
        let (key, deployment) = (&self.plan.key, self.plan.booted_by());
        let there = || self.there.iter().filter(|container| container.labels.sidecar == sidecar.name);
        let mut replicas = Vec::new();
        for container in there() {
            match container.replica(key, deployment, sidecar.port) {
                Some(replica) => replicas.push(replica),
                // Why it doesn't run is told sooner than that it doesn't.
                None => look(self.machine, Charge::from(&container.name), Duration::MAX).await?,
            }
        }
        if replicas.len() < usize::try_from(sidecar.replicas).unwrap_or(usize::MAX) {
            let (sidecar, host) = (sidecar.name.clone(), self.machine.name().clone());
            return Err(Error::NoSidecar { sidecar, host });
        }
        Ok(replicas)
    }
}
