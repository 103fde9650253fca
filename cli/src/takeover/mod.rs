//! The ports of another proxy's container, such as Kamal's, are taken over, and in no moment does nobody answer there.
//!
//! Docker leads what comes to a published port into its container, by the nat table of netfilter. A rule before Docker's leads it to
//! Cutover's proxy instead, which listens elsewhere by then. That table is asked for the first packet of a connection alone: those
//! that the other proxy has stay its own, and end with it. Then Cutover's proxy listens on the ports themselves too, the rule
//! goes, and then where it was. Whoever ends this in between finds a host that serves, and goes on by the same command.

mod error;
mod redirection;
mod standing;

use std::time::Duration;

use bollard::query_parameters::{StartContainerOptions, StopContainerOptionsBuilder};
use cutover_core::{HostSpec, ServiceKey};
use cutover_fleet::{Fleet, Machine};
use cutover_host::Hosts;
use tokio::time::{Instant, sleep};

pub(crate) use error::Error;
use redirection::Redirection;
use standing::Standing;

use crate::setup::{self, Step, StepKind};

/// How long the other proxy has for what it has in flight.
const END_LIMIT: Duration = Duration::from_secs(40);
/// How long a certificate may take, once its authority finds this proxy.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The ports of one container, on the hosts of a service.
#[derive(Debug)]
pub(crate) struct Takeover {
    key: ServiceKey,
    container: String,
    hosts: Vec<(HostSpec, Machine, Standing)>,
}

impl Takeover {
    /// Looks at all hosts, and changes nothing.
    ///
    /// # Errors
    /// A host on which it can't be done, with what to do before.
    pub(crate) async fn look(
        key: &ServiceKey,
        hosts: &[HostSpec],
        container: &str,
        wants_tls: bool,
    ) -> anyhow::Result<Self> {
        let fleet = Fleet::new(Hosts::from_environment()?);
        let mut looked = Vec::new();
        for spec in hosts {
            let machine = fleet.machine(spec);
            let standing = Standing::of(&machine, spec, key, container, wants_tls).await?;
            looked.push((spec.clone(), machine, standing));
        }
        Ok(Self { key: key.clone(), container: container.to_owned(), hosts: looked })
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_done(&self) -> bool {
        self.hosts.iter().all(|(_, _, standing)| standing.is_done())
    }

    /// What whoever does this should know, and of which host.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = (&HostSpec, &str)> {
        self.hosts.iter().flat_map(|(spec, _, standing)| {
            standing.warnings().iter().map(move |warning| (spec, warning.as_str()))
        })
    }

    /// The replicas of the service that Kamal has started and that still run.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub(crate) async fn left(&self) -> anyhow::Result<Vec<String>> {
        let mut left = Vec::new();
        for (_, machine, _) in &self.hosts {
            let replicas = standing::kamals(machine).await?;
            let own = replicas.into_iter().filter(|(service, _)| standing::is_named(&self.key, service));
            left.extend(own.map(|(_, name)| name));
        }
        Ok(left)
    }

    /// Does it, host by host, and on none after one that failed.
    ///
    /// # Errors
    /// A rule that could not be made, a container that doesn't stop, a proxy that doesn't move. Until the other proxy has ended,
    /// it has its traffic back; afterwards Cutover's keeps it.
    pub(crate) async fn run(&self, report: &dyn Fn(&Step)) -> anyhow::Result<()> {
        for (spec, machine, standing) in &self.hosts {
            let say = |kind, text: String| report(&Step { host: spec.name.to_string(), kind, text });
            let leading = Redirection { machine, is_root: spec.user == "root", moves: standing.moves() };
            // In two steps: whoever was led to where it was a moment ago is still answered there.
            let moved = |stays| setup::Options::moved(spec, standing.takes_https(), stays);
            if standing.is_done() {
                // Where it was cut off.
                leading.stop().await?;
                Box::pin(setup::setup(&moved(false), report)).await?;
                leading.end().await?;
                say(StepKind::Found, format!("Cutover's proxy has the ports of {}", self.container));
                continue;
            }
            if standing.runs() {
                let led = self.lead(&leading, machine, standing, &say).await;
                if let Err(error) = led {
                    leading.end().await?;
                    machine
                        .docker()
                        .await?
                        .start_container(&self.container, None::<StartContainerOptions>)
                        .await
                        .map_err(
                            machine.host().docker_failed(format!("starting {} again", self.container)),
                        )?;
                    say(StepKind::Failed, format!("{} has its traffic back", self.container));
                    return Err(error);
                }
            }
            Box::pin(setup::setup(&moved(true), report)).await?;
            leading.stop().await?;
            Box::pin(setup::setup(&moved(false), report)).await?;
            leading.end().await?;
            let ports = standing.moves().map(|(port, _)| port.to_string()).collect::<Vec<_>>();
            say(StepKind::Done, format!("Cutover's proxy answers on port {}", ports.join(" and ")));
            if standing.was_reached() && !standing.reaches(spec).await {
                return Err(Error::Unreached { host: spec.name.clone(), port: standing.first_port() }.into());
            }
        }
        Ok(())
    }

    /// New connections come to Cutover's proxy, and the other one ends.
    async fn lead(
        &self,
        leading: &Redirection<'_>,
        machine: &Machine,
        standing: &Standing,
        say: &dyn Fn(StepKind, String),
    ) -> anyhow::Result<()> {
        leading.begin(|port| port == standing::HTTP).await?;
        if standing.lacks_certificate() {
            say(
                StepKind::Advice,
                "waits for the certificate, which an authority can order from here now".to_owned(),
            );
            self.certified(machine).await?;
        }
        leading.begin(|_| true).await?;
        say(
            StepKind::Done,
            format!(
                "new connections come to Cutover's proxy, those of {} are its own to end",
                self.container
            ),
        );
        let limit = i32::try_from(END_LIMIT.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(limit).build();
        let stopped = machine.docker().await?.stop_container(&self.container, Some(options)).await;
        stopped.map_err(machine.host().docker_failed(format!("stopping {}", self.container)))?;
        say(StepKind::Done, format!("{} has ended its requests and is stopped", self.container));
        Ok(())
    }

    /// Waits until the service has a certificate.
    async fn certified(&self, machine: &Machine) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < CERTIFIED_WITHIN {
            let status = machine.proxy().service(&self.key).await?;
            if status.is_some_and(|status| !status.certificates.is_empty()) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        Err(Error::NoCertificate { host: machine.name().clone(), limit: CERTIFIED_WITHIN }.into())
    }
}
