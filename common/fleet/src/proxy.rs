//! The proxy on a host, asked over its control socket.

use std::path::Path;
use std::time::Duration;

use cutover_control::{
    Account, Canary, Certificate, CertificateStatus, Challenge, Epoch, HealthCheck, Maintenance, Pause,
    Refusal, Reply, Request, Response, ServiceKey, ServiceStatus, Switch,
};
use cutover_core::JournalId;

use crate::control_lines::not_understood;
use crate::{Error, Machine};

/// The name of the proxy's container on a host.
pub const PROXY: &str = cutover_host::HELPER;

/// Where the proxy's control socket is on every host, unless it is said otherwise.
pub const SOCKET: &str = "/run/cutover/control.sock";

/// How long a call may take: a switch is written to disk before it is answered. The health checks before it have a limit of
/// their own beside it.
const LIMIT: Duration = Duration::from_secs(10);

/// Which proxy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyIdentity {
    /// Its version.
    pub version: String,
    /// Its process: another one after each start.
    pub instance: String,
}

/// The proxy on a host.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'a> {
    machine: &'a Machine,
    socket: &'a Path,
}

impl Machine {
    /// Its proxy.
    pub fn proxy(&self) -> Proxy<'_> {
        self.proxy_at(self.socket())
    }

    /// A proxy whose control socket is elsewhere.
    pub const fn proxy_at<'a>(&'a self, socket: &'a Path) -> Proxy<'a> {
        Proxy { machine: self, socket }
    }
}

impl Proxy<'_> {
    /// Which proxy answers.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn identity(&self) -> Result<ProxyIdentity, Error> {
        match self.call(Request::Status).await? {
            Response::Status { version, instance, .. } => Ok(ProxyIdentity { version, instance }),
            _ => Err(self.not_understood()),
        }
    }

    /// What the proxy says of every service on the host.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn status(&self) -> Result<Vec<ServiceStatus>, Error> {
        match self.call(Request::Status).await? {
            Response::Status { services, .. } => Ok(services),
            _ => Err(self.not_understood()),
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
            _ => Err(self.not_understood()),
        }
    }

    /// Sends the traffic to a deployment; answers with the one before, and with the one that the proxy says afterwards that
    /// it serves.
    ///
    /// # Errors
    /// A refusal, by the fence, for a route that another service has, or for a replica that fails its health check; a proxy
    /// that isn't there.
    pub async fn switch(&self, switch: Switch) -> Result<(Option<String>, Option<String>), Error> {
        let key = switch.key.clone();
        let limit = limit_with_checks(&switch);
        let requests = [Request::Switch(Box::new(switch)), Request::Status];
        let [switched, status] = self.call_all(requests, limit).await?;
        let switched = switched.map_err(|refusal| self.refused(refusal))?;
        match (switched, status.map_err(|refusal| self.refused(refusal))?) {
            (Response::Switched { previous }, Response::Status { services, .. }) => {
                let service = services.into_iter().find(|service| service.key == key);
                let serving = service.and_then(|service| service.active).map(|active| active.deployment);
                Ok((previous, serving))
            }
            _ => Err(self.not_understood()),
        }
    }

    /// Gives a deployment a share of the new requests, or renews it: the share holds only as long as that is done. Answers with
    /// the deployment that the rest goes to.
    ///
    /// # Errors
    /// A refusal, by the fence, for a route that another service has, where nothing serves beside it, or for a replica that
    /// fails its health check; a proxy that isn't there, or doesn't know canaries yet.
    pub async fn canary(&self, canary: Canary) -> Result<String, Error> {
        let limit = limit_with_checks(&canary.switch);
        let [reply] = self.call_all([Request::Canary(Box::new(canary))], limit).await?;
        match reply.map_err(|refusal| self.refused(refusal))? {
            Response::Weighted { active } => Ok(active),
            _ => Err(self.not_understood()),
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
            _ => Err(self.not_understood()),
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
            _ => Err(self.not_understood()),
        }
    }

    /// Makes the proxy show a certificate for a service's names; answers with what it shows now.
    ///
    /// # Errors
    /// A refusal, where the key isn't the certificate's or it can't be used; a proxy that isn't there, or can't store it.
    pub async fn certify(
        &self,
        key: &cutover_core::ServiceKey,
        certificate: Certificate,
    ) -> Result<CertificateStatus, Error> {
        match self.call(Request::Certify { key: key_of(key), certificate }).await? {
            Response::Certified { certificate } => Ok(certificate),
            _ => Err(self.not_understood()),
        }
    }

    /// The certificates that the proxy keeps, with their keys, and the accounts that they were ordered with.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn certificates(&self) -> Result<(Vec<(ServiceKey, Certificate)>, Vec<Account>), Error> {
        match self.call(Request::Certificates).await? {
            Response::Certificates { certificates, account, mut accounts } => {
                // All that an older proxy tells.
                let told =
                    account.filter(|told| accounts.iter().all(|known| known.directory != told.directory));
                accounts.extend(told);
                Ok((certificates, accounts))
            }
            _ => Err(self.not_understood()),
        }
    }

    /// Makes the proxy keep the account that certificates are ordered with.
    ///
    /// # Errors
    /// A proxy that isn't there, or can't store it.
    pub async fn keep_account(&self, account: Account) -> Result<(), Error> {
        match self.call(Request::KeepAccount { account }).await? {
            Response::Kept => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    /// Makes the proxy answer a certificate authority.
    ///
    /// # Errors
    /// A proxy that isn't there, or doesn't answer.
    pub async fn answer(&self, challenge: Challenge) -> Result<(), Error> {
        match self.call(Request::Answer { challenge }).await? {
            Response::Answering => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    /// Has the new requests of a service wait.
    ///
    /// # Errors
    /// A service that the proxy doesn't know, or that another journal has; a proxy that isn't there.
    pub async fn pause(&self, pause: Pause) -> Result<(), Error> {
        match self.call(Request::Pause(pause)).await? {
            Response::Paused => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    /// Lets those that wait go on, one after the other. Without a journal, whichever has the service.
    ///
    /// # Errors
    /// The same.
    pub async fn resume(
        &self,
        key: &cutover_core::ServiceKey,
        journal: Option<&JournalId>,
    ) -> Result<(), Error> {
        let (key, journal) = (key_of(key), journal.map(|journal| journal.0.clone()));
        match self.call(Request::Resume { key, journal }).await? {
            Response::Resumed => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    /// Has the new requests of a service answered with a page.
    ///
    /// # Errors
    /// The same.
    pub async fn maintain(&self, maintenance: Maintenance) -> Result<(), Error> {
        match self.call(Request::Maintenance(Box::new(maintenance))).await? {
            Response::Away => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    /// Has them served again. Without a journal, whichever has the service.
    ///
    /// # Errors
    /// The same.
    pub async fn end_maintenance(
        &self,
        key: &cutover_core::ServiceKey,
        journal: Option<&JournalId>,
    ) -> Result<(), Error> {
        let (key, journal) = (key_of(key), journal.map(|journal| journal.0.clone()));
        match self.call(Request::EndMaintenance { key, journal }).await? {
            Response::Back => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let [reply] = self.call_all([request], LIMIT).await?;
        reply.map_err(|refusal| self.refused(refusal))
    }

    async fn call_all<const N: usize>(
        &self,
        requests: [Request; N],
        limit: Duration,
    ) -> Result<[Reply; N], Error> {
        let asked = self.machine.control_lines().ask(self.machine, self.socket, requests);
        let late = |_| Error::Silent { host: self.machine.name().to_string(), seconds: limit.as_secs() };
        tokio::time::timeout(limit, asked).await.map_err(late)?
    }

    fn refused(&self, refusal: Refusal) -> Error {
        Error::Refused { host: self.machine.name().to_string(), refusal }
    }

    fn not_understood(&self) -> Error {
        not_understood(self.machine, None)
    }
}

/// How long a call may take before which the proxy looks at replicas.
fn limit_with_checks(switch: &Switch) -> Duration {
    let checks = switch.health.as_ref().map_or(0, HealthCheck::first_limit_ms);
    LIMIT.saturating_add(Duration::from_millis(checks))
}

/// A service as the control protocol writes it.
pub fn key_of(key: &cutover_core::ServiceKey) -> ServiceKey {
    ServiceKey::new(key.destination.as_str(), key.service.as_str())
}

/// An epoch as the control protocol writes it.
pub fn epoch_of(epoch: &cutover_core::Epoch) -> Epoch {
    Epoch { journal: epoch.journal.to_string(), sequence: epoch.sequence }
}
