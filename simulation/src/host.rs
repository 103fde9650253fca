//! A host: a Docker, which refuses nobody, and a proxy, which refuses stale claims. Neither knows the journal.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cutover_core::{DeploymentId, Digest, HostName, Replica, Timestamp};

use crate::proxy::Proxy;

/// A container that runs. Its labels say which deployment it is of, and under which claim it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Docker's own id: another container of the same name has another.
    pub(crate) id: u32,
    pub(crate) replica: Replica,
    pub(crate) deployment: DeploymentId,
    pub(crate) claim: u64,
    /// Whether it was made by a worker that the journal knew to be gone.
    pub(crate) late: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: HostName,
    pub(crate) proxy: Proxy,
    pub(crate) containers: Vec<Container>,
    pub(crate) images: BTreeSet<Digest>,
    /// Nobody of us reaches it before.
    pub(crate) lost_until: Timestamp,
    /// Somebody has told the journal to forget what it owes: nothing is known of it until it has gone all the way again.
    pub(crate) forgiven: bool,
    made: u32,
}

/// A container of that name is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameTaken;

impl Host {
    pub(crate) fn new(name: HostName, proxy: Proxy) -> Self {
        let (containers, images, lost_until) = (Vec::new(), BTreeSet::new(), Timestamp(0));
        Self { name, proxy, containers, images, lost_until, forgiven: false, made: 0 }
    }

    /// Creates and starts a container.
    pub(crate) fn run(
        &mut self,
        name: &str,
        deployment: &DeploymentId,
        claim: u64,
        late: bool,
    ) -> Result<Container, NameTaken> {
        if self.containers.iter().any(|container| container.replica.name == name) {
            return Err(NameTaken);
        }
        self.made += 1;
        let [.., b, c, d] = self.made.to_be_bytes();
        let replica = Replica { name: name.to_owned(), address: SocketAddr::from(([10, b, c, d], 3000)) };
        let container = Container { id: self.made, replica, deployment: deployment.clone(), claim, late };
        self.containers.push(container.clone());
        Ok(container)
    }

    /// Stops and removes a container. One that is gone is done.
    pub(crate) fn remove(&mut self, id: u32) {
        self.containers.retain(|container| container.id != id);
    }

    pub(crate) fn runs(&self, replica: &Replica) -> bool {
        self.containers.iter().any(|container| container.replica == *replica)
    }
}
