//! One replica starts, and is watched for its first moments.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use cutover_core::{Plan, Replica, Stage};
use cutover_fleet::{Condition, Container, ImageName, LAST_LINES, Machine, Network, Trouble};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use crate::models::{self, ModelError};
use crate::{Error, Result};

/// How long a replica is watched that neither listens nor exits: what crashes at once has done so by then. What comes
/// later, the probe sees.
const WATCHED: Duration = Duration::from_millis(300);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A replica that is to run.
pub(crate) struct Startup<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) docker: &'a Docker,
    pub(crate) plan: &'a Plan,
    pub(crate) image: ImageName,
    pub(crate) network: &'a Network,
    /// The name of its container.
    pub(crate) name: String,
    /// Where it will listen; none: it gets no traffic.
    pub(crate) port: Option<u16>,
    /// The networks that it gets beside the one that it is made on.
    pub(crate) others: Vec<String>,
}

impl Startup<'_> {
    /// Makes its container, whose `body` depends on its address, and starts it, unless `found`, the one of that name, is
    /// it and runs; then watches it until it listens. Of `addresses` it gets the first that is free.
    pub(crate) async fn run(
        &self,
        found: Option<&Container>,
        addresses: &[Ipv4Addr],
        body: impl Fn(Ipv4Addr) -> ContainerCreateBody,
    ) -> Result<Replica> {
        // A container of another deployment is never removed for its name: it may be the one that serves.
        let own = found.filter(|found| found.labels.deployment == *self.plan.booted_by());
        if !own.is_some_and(|own| own.running) {
            if let Some(stopped) = own {
                self.machine.remove(&stopped.id, &self.name).await?;
            }
            let address = self.make(addresses, body).await?;
            return self.watch(Some(address)).await;
        }
        self.watch(None).await
    }

    /// Answers with the address that it has.
    async fn make(
        &self,
        addresses: &[Ipv4Addr],
        body: impl Fn(Ipv4Addr) -> ContainerCreateBody,
    ) -> Result<Ipv4Addr> {
        for address in addresses {
            let id = self.create(body(*address)).await?;
            self.machine.attach(&id, &self.name, &self.others).await?;
            if self.start().await? {
                return Ok(*address);
            }
            self.machine.remove(&id, &self.name).await?;
        }
        let (name, network) = (self.name.clone(), self.network.name.clone());
        Err(Error::NoFreeAddress { name, network, host: self.machine.name().clone() })
    }

    /// Answers with its id.
    pub(crate) async fn create(&self, body: ContainerCreateBody) -> Result<String> {
        let options = CreateContainerOptionsBuilder::default().name(&self.name).build();
        let created = self.docker.create_container(Some(options), body).await;
        let error = match created {
            Ok(created) => return Ok(created.id),
            Err(error) => error,
        };
        if let bollard::errors::Error::DockerResponseServerError { status_code, message } = &error {
            let is_sent = self.plan.stages.contains(&Stage::Ship);
            match status_code {
                404 if message.to_lowercase().contains("no such image") => {
                    return Err(Error::NoImage {
                        image: self.image.clone(),
                        host: self.machine.name().clone(),
                        is_sent,
                    });
                }
                400 if models::is_absent(message) => {
                    let (replica, host) = (self.name.clone(), self.machine.name().clone());
                    return Err(ModelError::Absent { replica, host, is_sent }.into());
                }
                409 => return Err(self.name_taken().await?),
                _ => {}
            }
        }
        Err(self.machine.host().docker_failed(format!("creating {}", self.name))(error).into())
    }

    /// Another worker that was given up may have made the container a moment ago; any other one is somebody's.
    async fn name_taken(&self) -> Result<Error> {
        let condition = self.machine.condition(&self.name).await?;
        let key = condition.and_then(|condition| match (condition.labels, condition.sidecar) {
            (Some(labels), _) => Some(labels.key),
            (None, sidecar) => sidecar.map(|labels| labels.key),
        });
        let ours = key.is_some_and(|key| key == self.plan.key);
        Ok(Error::NameTaken { name: self.name.clone(), host: self.machine.name().clone(), ours })
    }

    /// Starts what was made, and watches it until it listens.
    pub(crate) async fn start_and_watch(&self) -> Result<()> {
        if !self.start().await? {
            let (name, host) = (self.name.clone(), self.machine.name().clone());
            return Err(Error::NoAddress { name, host });
        }
        self.watch(None).await.map(drop)
    }

    /// Whether it was started: something else may have its address. Docker keeps with the container why it can't be
    /// started otherwise: a program that isn't there, a user that doesn't exist.
    async fn start(&self) -> Result<bool> {
        let Err(error) = self.docker.start_container(&self.name, None).await else { return Ok(true) };
        let bollard::errors::Error::DockerResponseServerError { message, .. } = &error else {
            return Err(self.machine.host().docker_failed(format!("starting {}", self.name))(error).into());
        };
        if message.to_lowercase().contains("address already in use") {
            return Ok(false);
        }
        if let Some(condition) = self.machine.condition(&self.name).await?
            && let (Some(_), Some(what)) = (&condition.error, condition.trouble())
        {
            return Err(self.trouble(what, &condition).await);
        }
        Err(self.machine.host().docker_failed(format!("starting {}", self.name))(error).into())
    }

    /// Watches until it listens, exits, or has been watched for long enough. Where its address is known already, both are
    /// asked for at once.
    async fn watch(&self, known: Option<Ipv4Addr>) -> Result<Replica> {
        // One that listens nowhere has an address all the same, with no port.
        let port = self.port.unwrap_or_default();
        let known = known.filter(|_| self.port.is_some());
        let known = known.map(|address| SocketAddr::new(address.into(), port));
        let began = Instant::now();
        let mut listening = pin!(self.listening(known));
        let mut listens = false;
        loop {
            let mut looking = pin!(self.machine.condition(&self.name));
            let condition = loop {
                tokio::select! {
                    condition = &mut looking => break condition?,
                    () = &mut listening, if !listens => listens = true,
                }
            };
            let Some(condition) = condition else {
                return Err(Error::Gone { name: self.name.clone(), host: self.machine.name().clone() });
            };
            if let Some(what) = condition.trouble() {
                return Err(self.trouble(what, &condition).await);
            }
            let long_enough = began.elapsed() >= WATCHED;
            let address = condition.socket(port);
            if let Some(address) = address
                && (long_enough
                    || (self.port.is_some() && known != Some(address) && self.listens(address).await))
            {
                return Ok(Replica { name: self.name.clone(), address });
            }
            if address.is_none() && long_enough {
                let (name, host) = (self.name.clone(), self.machine.name().clone());
                return Err(Error::NoAddress { name, host });
            }
            if !listens {
                tokio::select! {
                    () = &mut listening => listens = true,
                    () = sleep(LOOK_EVERY) => {}
                }
            }
            if let Some(address) = address.filter(|address| listens && known == Some(*address)) {
                return Ok(Replica { name: self.name.clone(), address });
            }
        }
    }

    /// Returns once something listens there. It is tried every 20 ms, however long the answers take: far away, each takes
    /// longer than an application to start.
    async fn listening(&self, address: Option<SocketAddr>) {
        let Some(address) = address else { return pending().await };
        let mut tries = FuturesUnordered::new();
        loop {
            tries.push(self.listens(address));
            let mut next = pin!(sleep(LOOK_EVERY));
            loop {
                tokio::select! {
                    answer = tries.next(), if !tries.is_empty() => if answer == Some(true) { return },
                    () = &mut next => break,
                }
            }
        }
    }

    async fn listens(&self, address: SocketAddr) -> bool {
        self.machine.host().connect_tcp(address, WATCHED).await.is_ok()
    }

    async fn trouble(&self, what: String, condition: &Condition) -> Error {
        Error::Trouble(Box::new(Trouble {
            replica: self.name.clone(),
            host: self.machine.name().clone(),
            what,
            out_of_memory: condition.out_of_memory,
            last_lines: self.machine.last_lines(&self.name, LAST_LINES).await,
        }))
    }
}
