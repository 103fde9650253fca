//! The boot stage: new replicas beside the old ones.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use cutover_core::{DeploymentId, Digest, Epoch, Plan, Progress, Replica};
use cutover_fleet::{Container, Machine};
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::container_spec::replica_name;
use crate::discard::remove_drained;
use crate::startup::Startup;
use crate::stop::remove_now;
use crate::{ContainerSpec, Error, ImageName, Result, Traffic, environment, fence, network, strays};

/// What the journal says of replicas that may be on the host already.
#[derive(Clone, Copy, Debug)]
pub struct Existing<'a> {
    /// The sequence at which the round of the deployment began.
    pub round_began: u64,
    /// The deployments whose replicas are live, or kept warm.
    pub in_use: &'a [&'a DeploymentId],
}

/// Starts the replicas of the deployment on the host, all side by side, and answers with where they listen. One that runs
/// already is kept, unless an earlier round of the deployment made it: it is removed, and made anew. Whoever was to discard
/// that round may only have been asleep, and would remove it once it serves; a new one has an id that he hasn't seen.
/// Each is watched until it listens or 300 ms have passed; whether it is ready, the probe stage asks.
///
/// Each has an address of its own, which it keeps when it or the host is started anew: the proxy remembers where it
/// listens.
///
/// Replicas that earlier deployments have left behind are removed, but those of the deployments in use.
///
/// # Errors
/// A secret without a value, an image that the host doesn't have, a replica that exits at once (its container stays), a
/// host or a Docker that can't be reached, a proxy that is there but refuses or doesn't answer, replicas of an earlier round
/// that never end their last requests.
pub async fn boot(
    machine: &Machine,
    plan: &Plan,
    image: &Digest,
    epoch: &Epoch,
    existing: Existing<'_>,
    progress: &watch::Sender<Progress>,
) -> Result<Vec<Replica>> {
    let (found, network, env, taken, (), ()) = tokio::try_join!(
        async { Ok(machine.replicas(&plan.key).await?) },
        // Boxed: what is rarely needed would make the future of every boot large.
        Box::pin(network::ensure(machine, &plan.key)),
        environment::resolve(&plan.release.settings),
        taken(machine),
        Box::pin(network::require(machine, &plan.release.settings.container.networks)),
        Box::pin(async { Ok(fence::raise(machine, plan, epoch).await?) }),
    )?;
    let (left, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|replica| is_left(replica, plan, existing.round_began));
    if !left.is_empty() {
        // A proxy that doesn't answer may still have them for its targets, and is waited for.
        let ask = async || Ok(Traffic::of(machine.proxy().service(&plan.key).await?.as_ref()));
        Box::pin(remove_drained(machine, plan, &left.iter().collect::<Vec<_>>(), ask, progress)).await?;
    }
    let docker = machine.docker().await?;
    let image = ImageName::new(&plan.key, image);
    let spec = ContainerSpec { plan, epoch, image: &image, network: &network.id };
    // Allotted in one go: side by side, two would take the same.
    let addresses = network.pool.allot(plan.release.settings.replicas, &taken);
    let replicas = (1..).zip(&addresses).map(async |(number, addresses)| {
        let name = replica_name(&plan.key, &plan.deployment, number);
        let found = found.iter().find(|container| container.name == name);
        let startup = Startup { machine, docker: &docker, plan, image: &image, network: &network, name };
        startup.run(found, addresses, |address| spec.body(number, address, env.clone())).await
    });
    let (started, ()) =
        tokio::join!(join_all(replicas), remove_strays(machine, plan, epoch, existing.in_use, &found));
    all(started)
}

/// Whether an earlier round of the deployment has left a replica.
fn is_left(replica: &Container, plan: &Plan, round_began: u64) -> bool {
    replica.labels.deployment == plan.deployment && replica.labels.epoch.sequence < round_began
}

/// The addresses that no new replica may have: those that any container has, or will have when it is started again, and
/// those to which the proxy may send a request. Only those of the service's network matter, and no other network has them.
async fn taken(machine: &Machine) -> Result<HashSet<Ipv4Addr>> {
    let services = async {
        match machine.proxy().status().await {
            Err(cutover_fleet::Error::NoProxy { .. }) => Ok(Vec::new()),
            services => services,
        }
    };
    let (mut taken, services) = tokio::try_join!(machine.addresses(), services)?;
    let sets = services
        .iter()
        .flat_map(|service| service.active.iter().chain(&service.previous).chain(&service.draining));
    taken.extend(sets.flat_map(|set| &set.targets).filter_map(|target| match target.address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }));
    Ok(taken)
}

/// All replicas, or the failure that matters most: one that another attempt would only repeat.
fn all(started: Vec<Result<Replica>>) -> Result<Vec<Replica>> {
    let (mut replicas, mut failures) = (Vec::new(), Vec::new());
    for replica in started {
        match replica {
            Ok(replica) => replicas.push(replica),
            Err(failure) => failures.push(failure),
        }
    }
    failures.into_iter().min_by_key(Error::retryable).map_or(Ok(replicas), Err)
}

/// Removes what earlier deployments have left behind. Where the proxy can't be asked, nothing is; and nothing that goes
/// wrong here is a reason not to deploy.
async fn remove_strays(
    machine: &Machine,
    plan: &Plan,
    epoch: &Epoch,
    in_use: &[&DeploymentId],
    found: &[Container],
) {
    let removed = async {
        if strays(found, &plan.deployment, epoch, in_use, None).is_empty() {
            return Ok(());
        }
        // Asked after the containers were listed: what was given traffic in between is known by now.
        let status = machine.proxy().service(&plan.key).await?;
        let docker = machine.docker().await?;
        for stray in strays(found, &plan.deployment, epoch, in_use, status.as_ref()) {
            remove_now(machine, &docker, &stray.id, &stray.name).await?;
            tracing::info!(host = %machine.name(), container = stray.name, "removed what a deployment had left behind");
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = removed.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what earlier deployments have left behind stays"
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn of_several_failures_the_lasting_one_is_told() {
        let replica = || Replica { name: "hello-1".into(), address: "172.18.0.2:80".parse().unwrap() };
        let host = || "198.18.0.2".parse().unwrap();
        let passing = || Error::NoAddress { name: "hello-2".into(), host: host() };
        let lasting = || Error::NameTaken { name: "hello-3".into(), host: host(), ours: false };
        assert_eq!(all(vec![Ok(replica()), Ok(replica())]).unwrap().len(), 2);
        let failed = all(vec![Err(passing()), Ok(replica()), Err(lasting())]).unwrap_err();
        assert!(matches!(failed, Error::NameTaken { .. }), "{failed}");
    }
}
