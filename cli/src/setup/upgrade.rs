use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerUpdateBody, RestartPolicyNameEnum};
use bollard::query_parameters::{RenameContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::container::{self, ProxyContainer};
use super::host_setup::HostSetup;
use super::{Error, StepKind};

/// The name of a proxy that is being replaced, until its successor answers.
const REPLACED: &str = "cutover-proxy-replaced";
/// How long a proxy that has handed over may still run, and a bit.
const END_LIMIT: Duration = Duration::from_secs(container::END_LIMIT as u64 + 10);

/// One proxy takes over from another. Whoever kills this in between finds a host that serves, and the next setup goes on.
impl HostSetup<'_> {
    /// Goes on where an upgrade was cut off: the proxy that was to be replaced has its name again where no successor runs,
    /// and is gone where it has ended.
    pub(super) async fn take_up(&self, docker: &Docker) -> Result<(), Error> {
        let replaced = self.machine.inspect(REPLACED).await?;
        let proxy = self.machine.inspect(container::NAME).await?;
        match (&replaced, &proxy) {
            (None, Some(proxy)) if container::is_ours(proxy) && !container::restarts(proxy) => {
                self.set_restarts(docker, container::NAME, RestartPolicyNameEnum::ALWAYS).await
            }
            (Some(_), None) => self.take_back(docker).await,
            (Some(replaced), Some(proxy)) => match (container::runs(replaced), container::runs(proxy)) {
                // Whoever answers is the one that was to be replaced.
                (true, false) if self.machine.proxy().identity().await.is_ok() => {
                    self.take_back(docker).await
                }
                // It has handed over, and ends its last requests.
                (true, _) => Ok(()),
                (false, _) => self.remove(docker, REPLACED).await,
            },
            (None, _) => Ok(()),
        }
    }

    /// The proxy that was to be replaced stays.
    async fn take_back(&self, docker: &Docker) -> Result<(), Error> {
        self.remove(docker, container::NAME).await?;
        self.set_restarts(docker, REPLACED, RestartPolicyNameEnum::ALWAYS).await?;
        self.rename(docker, REPLACED, container::NAME).await
    }

    /// Another proxy serves: a new one takes over from it. It goes on as before where that fails.
    pub(super) async fn succeed(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        self.load().await?;
        // One from the upgrade before may still end its last requests.
        self.await_end(docker).await?;
        let before = self.machine.proxy().identity().await.map_err(|source| Error::NoHandover {
            host: self.machine.host().name().to_owned(),
            source: Box::new(source),
        })?;
        self.rename(docker, container::NAME, REPLACED).await?;
        // Once it has handed over it ends, and must not come back.
        self.set_restarts(docker, REPLACED, RestartPolicyNameEnum::NO).await?;
        let succeeded = async {
            self.create(docker, proxy).await?;
            self.launch(docker).await?;
            self.await_answer(docker, Some(&before)).await
        };
        if let Err(error) = succeeded.await {
            // Only one that still answers has not handed over. Otherwise the new one serves, or is started again by Docker.
            if self.machine.proxy().identity().await.is_ok_and(|answering| answering == before) {
                self.take_back(docker).await?;
            }
            return Err(error);
        }
        self.say(
            StepKind::Done,
            format_args!("{} took over; the one before ends its last requests", proxy.image),
        );
        self.await_end(docker).await
    }

    /// Waits until the proxy that was replaced has ended, and removes it, where there is one.
    async fn await_end(&self, docker: &Docker) -> Result<(), Error> {
        if self.machine.inspect(REPLACED).await?.is_none() {
            return Ok(());
        }
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let ended = async { docker.wait_container(REPLACED, Some(options)).next().await };
        // Whatever it says: what has not ended by then has dropped what it had.
        let _ = timeout(END_LIMIT, ended).await;
        self.remove(docker, REPLACED).await
    }

    /// Says whether Docker starts a proxy again when it has ended.
    async fn set_restarts(
        &self,
        docker: &Docker,
        name: &str,
        policy: RestartPolicyNameEnum,
    ) -> Result<(), Error> {
        let update = ContainerUpdateBody {
            restart_policy: Some(container::restart(policy)),
            ..ContainerUpdateBody::default()
        };
        let updated = docker.update_container(name, update).await;
        updated.map_err(self.machine.host().docker_failed("setting the proxy's restart policy"))?;
        Ok(())
    }

    async fn rename(&self, docker: &Docker, from: &str, to: &str) -> Result<(), Error> {
        let renamed = docker.rename_container(from, RenameContainerOptions { name: to.to_owned() }).await;
        Ok(renamed.map_err(self.machine.host().docker_failed(format!("renaming {from} to {to}")))?)
    }
}
