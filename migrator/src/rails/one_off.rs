//! A container that runs to its end: there is never more than one of its name.

use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfigLogConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, LogsOptionsBuilder};
use cutover_core::{DeploymentId, Epoch, ServiceKey, Settings};
use cutover_fleet::{ImageName, Labels, Machine, environment, host_config, stop_seconds};
use cutover_secrets::Values;
use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;

use super::RailsError;
use super::output::Output;

/// How long its host may be out of reach before what runs there is given up: as long as another worker needs to take over.
const LOST: Duration = Duration::from_secs(60);

/// From one try to reach it to the next.
const AGAIN: Duration = Duration::from_millis(200);

/// What the container is made of.
pub(super) struct OneOff<'a> {
    pub(super) machine: &'a Machine,
    pub(super) key: &'a ServiceKey,
    pub(super) deployment: &'a DeploymentId,
    /// The claim under which it runs.
    pub(super) epoch: &'a Epoch,
    pub(super) image: &'a ImageName,
    /// The settings of a replica that gets traffic, with what this one has in its environment beside them.
    pub(super) settings: &'a Settings,
    /// What its references stand for.
    pub(super) values: &'a Values,
    pub(super) command: Vec<String>,
}

/// How it has ended.
pub(super) struct Ending {
    /// Whether it has done what it was started for.
    pub(super) succeeded: bool,
    /// The exit code.
    pub(super) code: i64,
    /// How it has ended, as the end of a sentence that begins with its name.
    pub(super) what: String,
}

/// One that runs. Dropped before its end, it is stopped, as far as the host can be reached; whoever comes next does it for sure.
struct Running<'a> {
    one_off: &'a OneOff<'a>,
    id: String,
    has_ended: bool,
}

impl OneOff<'_> {
    /// The name of the container: one for each service of a destination, so that Docker lets there be no second one. The dot is in
    /// no name of a destination or a service: no two services have one.
    fn name(&self) -> String {
        format!("cutover-migrate-{}.{}", self.key.destination, self.key.service)
    }

    /// Runs it to its end, tells each line of its output, and removes it. What an earlier attempt has left at work is ended first.
    ///
    /// # Errors
    /// A secret without a value, an image that the host doesn't have; one of a later claim, or of another control plane, that is at
    /// work; a host or a Docker that can't be reached.
    pub(super) async fn run(&self, lines: UnboundedSender<String>) -> Result<Ending, RailsError> {
        self.end_earlier(&lines).await?;
        let body = self.body().await?;
        let id = self.create(body).await?;
        let mut running = Running { one_off: self, id, has_ended: false };
        let ended = running.follow(lines).await;
        self.machine.remove(&running.id, &self.name()).await?;
        running.has_ended = true;
        ended
    }

    /// Ends what an earlier claim has left. A worker that was asleep finds here what came after it, and is refused.
    async fn end_earlier(&self, lines: &UnboundedSender<String>) -> Result<(), RailsError> {
        let name = self.name();
        let taken = |why| RailsError::Taken { name: name.clone(), host: self.machine.name().clone(), why };
        let docker = self.machine.docker().await?;
        let found = match docker.inspect_container(&name, None).await {
            Ok(found) => found,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
            Err(error) => {
                return Err(self.machine.host().docker_failed(format!("inspecting {name}"))(error).into());
            }
        };
        let (Some(id), Some(labels)) = (found.id, found.config.and_then(|config| config.labels)) else {
            return Err(taken("it is not Cutover's"));
        };
        let runs = found.state.and_then(|state| state.running).unwrap_or_default();
        match Labels::epoch_in(&labels) {
            None => return Err(taken("it is not Cutover's")),
            Some(epoch) if epoch.journal != self.epoch.journal && runs => {
                return Err(taken("another control plane runs migrations"));
            }
            Some(epoch) if epoch.journal == self.epoch.journal && epoch.sequence > self.epoch.sequence => {
                return Err(taken("it is of a later claim"));
            }
            Some(_) => {}
        }
        if runs {
            // Nobody listening is no reason to stop.
            let _ = lines.send(format!("ending {name}, which an earlier attempt has left at work"));
        }
        self.machine.stop(&id, &name, self.settings.timeouts.stop.0).await?;
        Ok(self.machine.remove(&id, &name).await?)
    }

    async fn body(&self) -> Result<ContainerCreateBody, RailsError> {
        let settings = self.settings;
        let network = self.machine.network(self.key).await?;
        self.machine.require_networks(&settings.container.networks).await?;
        let mut host_config = host_config(settings, &network.id, None, Vec::new());
        // Its output is read back, which not every driver can.
        host_config.log_config =
            Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: None });
        Ok(ContainerCreateBody {
            image: Some(self.image.to_string()),
            cmd: Some(self.command.clone()),
            env: Some(environment(settings, self.values).await?),
            user: settings.container.user.clone(),
            working_dir: settings.container.working_dir.clone(),
            stop_timeout: Some(stop_seconds(settings.timeouts.stop.0).into()),
            labels: Some(Labels::of_work(self.key, self.deployment, self.epoch)),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        })
    }

    /// Answers with its id.
    async fn create(&self, body: ContainerCreateBody) -> Result<String, RailsError> {
        let (name, host) = (self.name(), self.machine.name().clone());
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        match self.machine.docker().await?.create_container(Some(options), body).await {
            Ok(created) => Ok(created.id),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => {
                Err(RailsError::Taken { name, host, why: "another worker was first" })
            }
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, message })
                if message.to_lowercase().contains("no such image") =>
            {
                Err(RailsError::NoImage { image: self.image.clone(), host })
            }
            Err(error) => Err(self.machine.host().docker_failed(format!("creating {name}"))(error).into()),
        }
    }
}

impl Running<'_> {
    async fn follow(&self, lines: UnboundedSender<String>) -> Result<Ending, RailsError> {
        let OneOff { machine, settings, .. } = self.one_off;
        let name = self.one_off.name();
        machine.attach(&self.id, &name, &settings.container.networks).await?;
        let docker = machine.docker().await?;
        let started = docker.start_container(&self.id, None).await;
        // Why it can't be started, Docker keeps with the container.
        let failed = started.map_err(machine.host().docker_failed(format!("starting {name}"))).err();
        if failed.is_none() {
            self.watch(&lines).await?;
        }
        let Some(condition) = machine.condition(&self.id).await? else {
            return Err(RailsError::Gone { name, host: machine.name().clone() });
        };
        match (condition.trouble(), failed) {
            (Some(what), _) => {
                let code = condition.exit_code.unwrap_or_default();
                let succeeded = code == 0 && condition.error.is_none();
                Ok(Ending { succeeded, code, what })
            }
            (None, Some(failed)) => Err(failed.into()),
            (None, None) => Err(RailsError::Gone { name, host: machine.name().clone() }),
        }
    }

    /// Tells its output, line by line, until it has ended. A connection that is lost meanwhile is no reason to end what runs.
    async fn watch(&self, lines: &UnboundedSender<String>) -> Result<(), RailsError> {
        let (mut output, mut reached) = (Output::default(), Instant::now());
        loop {
            let followed = self.follow_output(&mut output, lines, &mut reached).await;
            let ended = match followed {
                Ok(()) => self.has_ended().await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if error.retryable() && reached.elapsed() < LOST => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        container = self.one_off.name(),
                        "what it says is read on once its host is reached again"
                    );
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(AGAIN).await;
        }
        if let Some(rest) = output.rest() {
            let _ = lines.send(rest);
        }
        Ok(())
    }

    async fn has_ended(&self) -> Result<bool, RailsError> {
        let condition = self.one_off.machine.condition(&self.id).await?;
        Ok(condition.is_none_or(|condition| condition.trouble().is_some()))
    }

    /// Tells its output from where it was read to, until it ends or the connection does. `reached`: when there was one last.
    async fn follow_output(
        &self,
        output: &mut Output,
        lines: &UnboundedSender<String>,
        reached: &mut Instant,
    ) -> Result<(), RailsError> {
        let machine = self.one_off.machine;
        let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).timestamps(true);
        let options = options.since(output.read_on()).build();
        let mut pieces = machine.docker().await?.logs(&self.id, Some(options));
        while let Some(piece) = pieces.next().await {
            let doing = || format!("reading what {} says", self.one_off.name());
            let piece = piece.map_err(|error| machine.host().docker_failed(doing())(error))?;
            *reached = Instant::now();
            for line in output.take(&LogOutput::into_bytes(piece)) {
                // Nobody listening is no reason to stop.
                let _ = lines.send(line);
            }
        }
        *reached = Instant::now();
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let OneOff { machine, settings, .. } = self.one_off;
        let (machine, id, name) = (Machine::clone(machine), self.id.clone(), self.one_off.name());
        let grace = settings.timeouts.stop.0;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        drop(runtime.spawn(async move {
            let ended = async {
                machine.stop(&id, &name, grace).await?;
                machine.remove(&id, &name).await
            };
            if let Err(error) = ended.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    container = name,
                    "a migration's container may be left"
                );
            }
        }));
    }
}
