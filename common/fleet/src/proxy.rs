//! The proxy on a host, asked over its control socket.

use std::path::Path;
use std::time::Duration;

use cutover_control::{Call, Epoch, MAX_LINE, Refusal, Request, Response, ServiceKey, ServiceStatus, Switch};
use cutover_core::JournalId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{Error, Machine};

/// Where the proxy's control socket is on every host.
pub const SOCKET: &str = "/run/cutover/control.sock";

/// How long a call may take: a switch is written to disk before it is answered.
const LIMIT: Duration = Duration::from_secs(10);

/// The proxy on a host.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'a> {
    machine: &'a Machine,
    socket: &'a Path,
}

impl Machine {
    /// Its proxy, at the socket where it is on every host.
    pub fn proxy(&self) -> Proxy<'_> {
        self.proxy_at(Path::new(SOCKET))
    }

    /// A proxy whose control socket is elsewhere.
    pub const fn proxy_at<'a>(&'a self, socket: &'a Path) -> Proxy<'a> {
        Proxy { machine: self, socket }
    }
}

impl Proxy<'_> {
    /// The proxy's version: it is there, and answers.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn version(&self) -> Result<String, Error> {
        match self.call(Request::Status).await? {
            Response::Status { version, .. } => Ok(version),
            _ => Err(self.not_understood(None)),
        }
    }

    /// What the proxy says of every service on the host.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn status(&self) -> Result<Vec<ServiceStatus>, Error> {
        match self.call(Request::Status).await? {
            Response::Status { services, .. } => Ok(services),
            _ => Err(self.not_understood(None)),
        }
    }

    /// What the proxy says of one service; none: it has never heard of it.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn service(&self, key: &cutover_core::ServiceKey) -> Result<Option<ServiceStatus>, Error> {
        let key = key_of(key);
        Ok(self.status().await?.into_iter().find(|service| service.key == key))
    }

    /// Whether the proxy would take a switch of a service from a journal: it answers, and no other journal has the service.
    ///
    /// # Errors
    /// A service that another journal has; a proxy that isn't there, or doesn't answer.
    pub async fn admits(&self, key: &cutover_core::ServiceKey, journal: &JournalId) -> Result<(), Error> {
        match self.service(key).await?.map(|service| service.epoch.journal) {
            Some(other) if other != journal.0 => Err(Error::Refused {
                host: self.machine.name().to_string(),
                refusal: Refusal::ForeignJournal { journal: other },
            }),
            _ => Ok(()),
        }
    }

    /// Makes the proxy obey a journal for a service from now on, whichever it obeyed before: claims of that one are refused
    /// then. What serves goes on serving. For an operator who knows that the other control plane is gone, or means to
    /// replace it.
    ///
    /// # Errors
    /// A proxy that isn't there, or can't store it.
    pub async fn adopt(&self, key: &cutover_core::ServiceKey, journal: &JournalId) -> Result<(), Error> {
        match self.call(Request::Adopt { key: key_of(key), journal: journal.0.clone() }).await? {
            Response::Adopted => Ok(()),
            _ => Err(self.not_understood(None)),
        }
    }

    /// Sends the traffic to a deployment; answers with the one before.
    ///
    /// # Errors
    /// A refusal, by the fence or for a route that another service has; a proxy that isn't there.
    pub async fn switch(&self, switch: Switch) -> Result<Option<String>, Error> {
        match self.call(Request::Switch(Box::new(switch))).await? {
            Response::Switched { previous } => Ok(previous),
            _ => Err(self.not_understood(None)),
        }
    }

    /// Takes a deployment back, and raises the fence; answers with the one that serves now.
    ///
    /// # Errors
    /// A refusal by the fence; a proxy that isn't there.
    pub async fn restore(
        &self,
        key: &cutover_core::ServiceKey,
        epoch: &cutover_core::Epoch,
        deployment: &cutover_core::DeploymentId,
    ) -> Result<Option<String>, Error> {
        let request =
            Request::Restore { key: key_of(key), epoch: epoch_of(epoch), deployment: deployment.to_string() };
        match self.call(request).await? {
            Response::Restored { serving } => Ok(serving),
            _ => Err(self.not_understood(None)),
        }
    }

    /// Gives up what served before a deployment. Answers with the replicas that must not be stopped yet: those that
    /// serve, and those that still have requests in flight.
    ///
    /// # Errors
    /// A refusal by the fence; a proxy that isn't there.
    pub async fn retire(
        &self,
        key: &cutover_core::ServiceKey,
        epoch: &cutover_core::Epoch,
        deployment: &cutover_core::DeploymentId,
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let request =
            Request::Retire { key: key_of(key), epoch: epoch_of(epoch), deployment: deployment.to_string() };
        match self.call(request).await? {
            Response::Retired { serving, draining } => Ok((
                serving.into_iter().map(|target| target.replica).collect(),
                draining.into_iter().map(|target| target.replica).collect(),
            )),
            _ => Err(self.not_understood(None)),
        }
    }

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let host = || self.machine.name().to_string();
        let answered = tokio::time::timeout(LIMIT, self.exchange(request)).await;
        match answered.map_err(|_| Error::Silent { host: host(), seconds: LIMIT.as_secs() })?? {
            Ok(response) => Ok(response),
            Err(refusal) => Err(Error::Refused { host: host(), refusal }),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Result<Response, Refusal>, Error> {
        let host = || self.machine.name().to_string();
        let line = Call::new(request).to_line().map_err(|error| self.not_understood(Some(error)))?;
        let stream = self.machine.host().connect_unix(self.socket).await.map_err(|source| match source {
            cutover_host::Error::NotListening { .. } => Error::NoProxy { host: host(), source },
            source => Error::Host(source),
        })?;
        let broken = |source| Error::Broken { host: host(), source };
        let mut stream = BufReader::new(stream);
        stream.write_all(&line).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut answer = Vec::new();
        (&mut stream).take(MAX_LINE as u64).read_until(b'\n', &mut answer).await.map_err(broken)?;
        cutover_control::decode_reply(&answer).map_err(|error| self.not_understood(Some(error)))
    }

    fn not_understood(&self, source: Option<cutover_control::Error>) -> Error {
        Error::Answer { host: self.machine.name().to_string(), source }
    }
}

/// A service as the control protocol writes it.
pub fn key_of(key: &cutover_core::ServiceKey) -> ServiceKey {
    ServiceKey::new(key.destination.as_str(), key.service.as_str())
}

/// An epoch as the control protocol writes it.
pub fn epoch_of(epoch: &cutover_core::Epoch) -> Epoch {
    Epoch { journal: epoch.journal.to_string(), sequence: epoch.sequence }
}
