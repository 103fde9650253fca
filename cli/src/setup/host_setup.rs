use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptions, LogsOptions, RemoveContainerOptions, StartContainerOptions,
};
use cutover_control::DEFAULT_SOCKET;
use cutover_fleet::{Machine, ProxyIdentity};
use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::container::{self, ProxyContainer, Standing};
use super::engine::Engine;
use super::image::ProxyImage;
use super::{Error, Https, Options, Step, StepKind, port};

/// Until the proxy answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
const LOG_LINES: &str = "10";
/// Where a proxy answers, unless it is said otherwise.
pub(super) const HTTP_PORT: u16 = 80;
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

    /// Sees that it could be done.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        self.machine.host().connect().await?;
        Engine::of(self.machine.host(), self.image.architecture).await?;
        self.take_up(&self.machine.host().docker().await?).await?;
        self.load().await
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
        let found = self.machine.inspect(container::NAME).await?;
        let switched = |given: Option<bool>, name| {
            given
                .unwrap_or_else(|| found.as_ref().is_some_and(|found| container::is_switched_on(found, name)))
        };
        let http_port = self.options.http_port.or_else(|| container::http_port(found.as_ref()?));
        let (https, spoken) = self.https(found.as_ref());
        let proxy = ProxyContainer {
            image: self.image.name.clone(),
            http_port: http_port.unwrap_or(HTTP_PORT),
            https,
            also: self.options.stays.then(|| container::ports(found.as_ref()?)).flatten(),
            trusted: match (&self.options.trusted, &found) {
                (given, Some(found)) if given.is_empty() => container::trusted(found),
                (given, _) => given.clone(),
            },
            proxy_protocol: switched(self.options.proxy_protocol, container::PROXY_PROTOCOL),
            start_traces: switched(self.options.start_traces, container::START_TRACES),
            access_log: self.options.access_log.words(found.as_ref()),
            metrics: self.options.metrics.or_else(|| container::metrics(found.as_ref()?)),
            drive: self.options.drive.clone().unwrap_or_else(|| container::drive(found.as_ref()?)),
            control_group: engine.group,
        };
        let drives = proxy.drive.is_some() || found.as_ref().and_then(container::drive).is_some();
        match found.map(|found| proxy.compare(&found)) {
            None => self.install(&docker, &proxy).await?,
            Some(Standing::Right { running: true }) => {
                self.say(StepKind::Found, format_args!("{} runs", proxy.image))
            }
            Some(Standing::Right { running: false }) => self.restart(&docker, &proxy).await?,
            Some(Standing::Other { running: true }) if !self.options.upgrade_proxy => {
                let advice = if drives { advice_to_replace(&proxy) } else { advice(&proxy, spoken) };
                self.say(StepKind::Advice, advice);
            }
            // The other proxy serves on without it. One that carries the requests itself has nobody to hand them over to.
            Some(Standing::Other { running: true }) if drives => self.replace(&docker, &proxy).await?,
            Some(Standing::Other { running: true }) => {
                // What the one before has is handed over.
                let added = https.filter(|https| Some(*https) != spoken).and_then(Https::port);
                self.are_free(added).await?;
                self.succeed(&docker, &proxy).await?;
            }
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

    /// Where the proxy is to speak TLS, and where it does. One that was set up before there was any gets it by a setup; an
    /// upgrade gives nobody an open port that was not asked for.
    fn https(&self, found: Option<&ContainerInspectResponse>) -> (Option<Https>, Option<Https>) {
        let spoken = found.and_then(container::https);
        let usual = (found.is_none() || !self.options.upgrade_proxy).then_some(Https::USUAL);
        (self.options.https.or(spoken).or(usual), spoken)
    }

    /// No proxy is there.
    async fn install(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        self.are_free(proxy.ports()).await?;
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
        self.are_free(proxy.ports()).await?;
        self.start(docker).await?;
        self.say(StepKind::Done, "started the proxy, which was stopped");
        Ok(())
    }

    /// Another proxy is there, and is stopped, or has no requests to hand over.
    async fn replace(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
        self.load().await?;
        self.are_free(proxy.ports()).await?;
        self.remove(docker, container::NAME).await?;
        self.create(docker, proxy).await?;
        self.start(docker).await?;
        self.say(StepKind::Done, format_args!("replaced the proxy by {}", proxy.image));
        Ok(())
    }

    pub(super) async fn load(&self) -> Result<(), Error> {
        if self.image.load(self.machine.host()).await? {
            self.say(StepKind::Done, format_args!("loaded {}", self.image.name));
        }
        Ok(())
    }

    async fn are_free(&self, ports: impl IntoIterator<Item = u16>) -> Result<(), Error> {
        for port in ports {
            if let Some(holder) = port::holder(self.machine.host(), port).await? {
                return Err(Error::PortTaken { host: self.machine.host().name().to_owned(), port, holder });
            }
        }
        Ok(())
    }

    /// Waits until the proxy answers, and not the one `before`; fails early when its container ends. Gives its version.
    pub(super) async fn await_answer(
        &self,
        docker: &Docker,
        before: Option<&ProxyIdentity>,
    ) -> Result<String, Error> {
        let began = Instant::now();
        loop {
            let left = ANSWER_LIMIT.saturating_sub(began.elapsed());
            let reason = match timeout(left, self.machine.proxy().identity()).await {
                Ok(Ok(answering)) if before != Some(&answering) => return Ok(answering.version),
                Ok(Ok(_)) => "the one before still answers".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            let found = self.machine.inspect(container::NAME).await?;
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

    pub(super) async fn create(&self, docker: &Docker, proxy: &ProxyContainer) -> Result<(), Error> {
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

    pub(super) async fn launch(&self, docker: &Docker) -> Result<(), Error> {
        let started = docker.start_container(container::NAME, None::<StartContainerOptions>).await;
        Ok(started.map_err(self.machine.host().docker_failed("starting the proxy"))?)
    }

    /// Removes a container, where there is one.
    pub(super) async fn remove(&self, docker: &Docker, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptions { force: true, ..RemoveContainerOptions::default() };
        match docker.remove_container(name, Some(options)).await {
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(())
            }
            Err(error) => Err(self.machine.host().docker_failed(format!("removing {name}"))(error).into()),
        }
    }

    pub(super) fn say(&self, kind: StepKind, text: impl ToString) {
        (self.report)(&Step { host: self.name.to_owned(), kind, text: text.to_string() });
    }
}

fn advice(proxy: &ProxyContainer, spoken: Option<Https>) -> String {
    let added = proxy.https.filter(|https| Some(*https) != spoken);
    let option = added.map(|https| format!(" --https-port {https}")).unwrap_or_default();
    let ports: Vec<String> = proxy.ports().map(|port| port.to_string()).collect();
    format!(
        "the proxy that runs is not the one of this setup ({}, port {}): `cutover proxy upgrade{option}` replaces it, and \
         loses no request",
        proxy.image,
        ports.join(" and ")
    )
}

fn advice_to_replace(proxy: &ProxyContainer) -> String {
    let drive = proxy.drive.as_ref().map_or_else(|| "nothing".to_owned(), |drive| drive.other.to_string());
    format!(
        "the proxy that runs is not the one of this setup ({}, which drives {drive}): `cutover proxy upgrade` with the same \
         options replaces it; what another proxy carries goes on meanwhile, what it carries itself does not",
        proxy.image
    )
}
