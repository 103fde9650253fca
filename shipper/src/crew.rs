//! Several replicas of a deployment start on a host, side by side.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use bollard::Docker;
use cutover_core::{Epoch, Plan, Program, Replica};
use cutover_fleet::{Container, ImageName, Machine, Member, Network, environment};
use cutover_secrets::Values;
use futures_util::future::join_all;

use crate::sidecars::network_of;
use crate::startup::Startup;
use crate::{ContainerSpec, Error, Result};

/// What replicas of a deployment on a host have in common.
#[derive(Clone, Copy)]
pub(crate) struct Crew<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) docker: &'a Docker,
    pub(crate) plan: &'a Plan,
    /// The claim under which they are made.
    pub(crate) epoch: &'a Epoch,
    pub(crate) image: &'a ImageName,
    pub(crate) network: &'a Network,
}

impl Crew<'_> {
    /// Starts `members`, of which `found` may be there already, at addresses that are not `taken`; answers with where they
    /// are, in the same order.
    pub(crate) async fn start(
        &self,
        members: &[Member<'_>],
        found: &[Container],
        taken: &HashSet<Ipv4Addr>,
    ) -> Result<Vec<Replica>> {
        // Allotted in one go: side by side, two would take the same.
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let addresses = self.network.allot(count, taken);
        let started =
            members.iter().zip(&addresses).map(|(member, free)| self.start_one(member, found, free));
        all(join_all(started).await)
    }

    async fn start_one(
        &self,
        member: &Member<'_>,
        found: &[Container],
        addresses: &[Ipv4Addr],
    ) -> Result<Replica> {
        let settings = member.settings(self.plan);
        let env = environment(&settings, &Values::of(self.plan, Program::Shipper)).await?;
        let spec = ContainerSpec {
            plan: self.plan,
            member,
            settings: &settings,
            epoch: self.epoch,
            image: self.image,
            network: &self.network.id,
        };
        let startup = Startup {
            machine: self.machine,
            docker: self.docker,
            plan: self.plan,
            image: self.image.clone(),
            network: self.network,
            name: member.name.clone(),
            port: member.role.is_none().then_some(settings.port),
            others: settings.container.networks.iter().cloned().chain(network_of(self.plan)).collect(),
        };
        let found = found.iter().find(|container| container.name == member.name);
        startup.run(found, addresses, |address| spec.body(address, env.clone())).await
    }
}

/// The addresses that no new replica may have: those that any container has, or will have when it is started again, and
/// those to which the proxy may send a request. Only those of the service's network matter, and no other network has them.
pub(crate) async fn taken(machine: &Machine) -> Result<HashSet<Ipv4Addr>> {
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
