use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, ContainerUpdateBody, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, LogsOptions, RemoveContainerOptions,
    RenameContainerOptions, StartContainerOptions, WaitContainerOptions,
};
use cutover_control::DEFAULT_SOCKET;
use cutover_fleet::{Machine, ProxyIdentity};
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::container::{self, ProxyContainer, Standing};
use super::engine::Engine;
use super::image::ProxyImage;
use super::{Error, Options, Step, StepKind, port};

/// Until the proxy answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// The name of a proxy that is being replaced, until its successor answers.
const REPLACED: &str = "cutover-proxy-replaced";
const LOG_LINES: &str = "10";
/// Where a proxy answers, unless it is said otherwise.
const HTTP_PORT: u16 = 80;
/// How long a proxy that has handed over may still run, and a bit.
const END_LIMIT: Duration = Duration::from_secs(container::END_LIMIT as u64 + 10);

/// Makes one host ready.
pub(super) struct HostSetup<'a> {
    pub(super) machine: &'a Machine,
    pub(super) name: &'a str,
    pub(super) image: &'a ProxyImage,
    pub(super) options: &'a Options,
    pub(super) report: &'a dyn Fn(&Step),
}

impl HostSetup<'_> {
    /// Does it. Safe to do again: what is right already is left alone.
    pub(super) async fn run(&self) -> Result<(), Error> {
        let result = self.steps().await;
        if let Err(error) = &result {
            self.say(StepKind::Failed, error);
        }
        result
    }

    async fn steps(&self) -> Result<(), Error> {
        self.machine.host().connect().await?;
        let engine = Engine::of(self.machine.host(), self.image.architecture).await?;
        self.say(StepKind::Found, format_args!("Docker {}", engine.version));
        if !engine.live_restore {
            self.say(
                StepKind::Advice,
                "live-restore is off, so a restart of dockerd stops every container: put \"live-restore\": true into \
                 /etc/docker/daemon.json, then `systemctl reload docker`",
            );
        }
        let docker = self.machine.host().docker().await?;
        self.take_up(&docker).await?;
        let found = self.find(&docker, container::NAME).await?;
        let http_port = self.options.http_port.or_else(|| container::http_port(found.as_ref()?));
        let proxy = ProxyContainer {
            image: self.image.name.clone(),
            http_port: http_port.unwrap_or(HTTP_PORT),
            trusted: match (&self.options.trusted, &found) {
                (given, Some(found)) if given.is_empty() => container::trusted(found),
                (given, _) => given.clone(),
            },
            metrics: self.options.metrics.or_else(|| container::metrics(found.as_ref()?)),
            control_group: engine.group,
        };
        match found.map(|found| proxy.compare(&found)) {
            None => self.install(&docker, &proxy).await?,
            Some(Standing::Right { running: true }) => {
                self.say(StepKind::Found, format_args!("{} runs", proxy.image))
            }
            Some(Standing::Right { running: false }) => self.restart(&docker, &proxy).await?,
            Some(Standing::Other { running: true }) if !self.options.upgrade_proxy => {
                self.say(StepKind::Advice, advice(&proxy));
            }
            Some(Standing::Other { running: true }) => self.succeed(&docker, &proxy).await?,
            Some(Standing::Other { running: false }) => self.replace(&docker, &proxy).await?,
            Some(Standing::Foreign { image }) => {
                return Err(Error::ForeignContainer {
                    host: self.machine.host().name().to_owned(),
                    name: container::NAME,
                    image,
                });
            }
        }
        let version = self.await_answer(&docker, None).await?;
        self.say(StepKind::Found, format_args!("proxy {version} answers"));
        Ok(())
    }

    /// Goes on where an upgrade was cut off: the proxy that was to be replaced has its name again where no successor runs,
    /// and is gone where it has ended.
    async fn take_up(&self, docker: &Docker) -> Result<(), Error> {
        let replaced = self.find(docker, REPLACED).await?;
        let proxy = self.find(docker, container::NAME).await?;
        match (&replaced, &proxy) {
            (None, Some(proxy)) if container::is_ours(proxy) && !container::restarts(proxy) => {
                self.set_restarts(docker, container::NAME, RestartPolicyNameEnum::ALWAYS).await
            }
            (Some(_), None) => self.take_back(docker).await,
            (Some(replaced), Some(proxy)) => match (container::runs(replaced), container::runs(proxy)) {
                (true, false) => self.take_back(docker).await,
                // It ends its last requests.
                (true, true) => Ok(()),
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

    /// No proxy is there.
    async fn install(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        self.port_is_free(proxy).await?;
        self.load().await?;
        self.create(docker, proxy).await?;
        if let Err(error) = self.start(docker).await {
            // Nothing half-done stays behind, so that the next setup begins where this one did.
            self.remove(docker, container::NAME).await?;
            return Err(error);
        }
        self.say(StepKind::Done, format_args!("started {}", proxy.image));
        Ok(())
    }

    /// The right proxy is there, but was stopped.
    async fn restart(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        self.port_is_free(proxy).await?;
        self.start(docker).await?;
        self.say(StepKind::Done, "started the proxy, which was stopped");
        Ok(())
    }

    /// Another proxy is there, and is stopped.
    async fn replace(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        self.load().await?;
        self.port_is_free(proxy).await?;
        self.remove(docker, container::NAME).await?;
        self.create(docker, proxy).await?;
        self.start(docker).await?;
        self.say(StepKind::Done, format_args!("replaced the proxy, which was stopped, by {}", proxy.image));
        Ok(())
    }

    /// Another proxy serves: a new one takes over from it. It goes on as before where that fails.
    async fn succeed(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
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
        if self.find(docker, REPLACED).await?.is_none() {
            return Ok(());
        }
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let ended = async { docker.wait_container(REPLACED, Some(options)).next().await };
        // Whatever it says: what has not ended by then has dropped what it had.
        let _ = timeout(END_LIMIT, ended).await;
        self.remove(docker, REPLACED).await
    }

    async fn load(&self) -> Result<(), Error> {
        if self.image.load(self.machine.host()).await? {
            self.say(StepKind::Done, format_args!("loaded {}", self.image.name));
        }
        Ok(())
    }

    async fn port_is_free(&self, proxy: &ProxyContainer) -> Result<(), Error> {
        let port = proxy.http_port;
        match port::holder(self.machine.host(), port).await? {
            None => Ok(()),
            Some(holder) => {
                Err(Error::PortTaken { host: self.machine.host().name().to_owned(), port, holder })
            }
        }
    }

    /// Waits until the proxy answers, and not the one `before`; fails early when its container ends. Gives its version.
    async fn await_answer(&self, docker: &Docker, before: Option<&ProxyIdentity>) -> Result<String, Error> {
        let began = Instant::now();
        loop {
            let left = ANSWER_LIMIT.saturating_sub(began.elapsed());
            let reason = match timeout(left, self.machine.proxy().identity()).await {
                Ok(Ok(answering)) if before != Some(&answering) => return Ok(answering.version),
                Ok(Ok(_)) => "the one before still answers".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            let found = self.find(docker, container::NAME).await?;
            if !found.as_ref().is_some_and(container::runs) {
                return Err(Error::ProxyEnded {
                    host: self.machine.host().name().to_owned(),
                    log: self.last_lines(docker).await,
                });
            }
            if began.elapsed() >= ANSWER_LIMIT {
                let host = self.machine.host().name().to_owned();
                return Err(Error::ProxySilent { host, socket: DEFAULT_SOCKET, limit: ANSWER_LIMIT, reason });
            }
            sleep(POLL).await;
        }
    }

    async fn last_lines(&self, docker: &Docker) -> String {
        let options =
            LogsOptions { stdout: true, stderr: true, tail: LOG_LINES.to_owned(), ..LogsOptions::default() };
        let parts: Result<Vec<LogOutput>, _> =
            docker.logs(container::NAME, Some(options)).try_collect().await;
        match parts {
            Ok(parts) => parts
                .iter()
                .fold(String::new(), |text, part| format!("{text}\n    {}", part.to_string().trim_end())),
            Err(error) => format!("; its log can't be read: {error}"),
        }
    }

    async fn find(&self, docker: &Docker, name: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        match docker.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(Some(found)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.machine.host().docker_failed(format!("inspecting {name}"))(error).into()),
        }
    }

    async fn create(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        let options = CreateContainerOptions {
            name: Some(container::NAME.to_owned()),
            ..CreateContainerOptions::default()
        };
        let created = docker.create_container(Some(options), proxy.body()).await;
        created.map_err(self.machine.host().docker_failed("creating the proxy's container"))?;
        Ok(())
    }

    /// Starts the container and waits until the proxy in it answers.
    async fn start(&self, docker: &Docker) -> Result<(), Error> {
        self.launch(docker).await?;
        self.await_answer(docker, None).await.map(drop)
    }

    async fn launch(&self, docker: &Docker) -> Result<(), Error> {
        let started = docker.start_container(container::NAME, None::<StartContainerOptions>).await;
        Ok(started.map_err(self.machine.host().docker_failed("starting the proxy"))?)
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

    /// Removes a container, where there is one.
    async fn remove(&self, docker: &Docker, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptions { force: true, ..RemoveContainerOptions::default() };
        match docker.remove_container(name, Some(options)).await {
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(())
            }
            Err(error) => Err(self.machine.host().docker_failed(format!("removing {name}"))(error).into()),
        }
    }

    fn say(&self, kind: StepKind, text: impl ToString) {
        (self.report)(&Step { host: self.name.to_owned(), kind, text: text.to_string() });
    }
}

fn advice(proxy: &ProxyContainer) -> String {
    format!(
        "the proxy that runs is not the one of this setup ({}, port {}): `cutover proxy upgrade` replaces it, and loses no \
         request",
        proxy.image, proxy.http_port
    )
}
