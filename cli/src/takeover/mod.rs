//! The ports of another proxy's container, such as Kamal's, are taken over, and in no moment does nobody answer there.
//!
//! Docker leads what comes to a published port into its container, by the nat table of netfilter. A rule before Docker's leads it to
//! Cutover's proxy instead, which listens elsewhere by then. That table is asked for the first packet of a connection alone: those
//! that the other proxy has stay its own, and end with it. Then Cutover's proxy listens on the ports themselves too, the rule
//! goes, and then where it was. Until the other proxy is told to end, all is taken back where something fails; from then on there is
//! only the way forward, which the same command goes on with. The rule is gone after a restart of the host, so a host that was begun
//! with is brought to its end whoever wants this to stop.

mod error;
mod redirection;
mod standing;

use std::cell::Cell;
use std::time::Duration;

use bollard::models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::StopContainerOptionsBuilder;
use cutover_core::{HostSpec, ServiceKey};
use cutover_fleet::{Fleet, Machine};
use cutover_host::Hosts;
use tokio::time::{Instant, sleep};

pub(crate) use error::Error;
use redirection::Redirection;
use standing::Standing;

use crate::setup::{self, Step, StepKind};

/// How long the other proxy has for what it has in flight, and how long Docker may take to note that it has ended.
const END_LIMIT: Duration = Duration::from_secs(40);
const ENDED_WITHIN: Duration = Duration::from_secs(80);
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
    /// Looks at all hosts, and changes nothing but that an upgrade of a proxy that was cut off goes on, and that the proxy's image is
    /// there.
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
        Box::pin(setup::prepare(hosts)).await?;
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
            let own = standing::kamals(machine).await?.into_iter().filter(|kamals| kamals.is_of(&self.key));
            left.extend(own.map(|kamals| kamals.name));
        }
        Ok(left)
    }

    /// Does it, host by host, and on none after one that failed, or once `stopping` says so.
    ///
    /// # Errors
    /// A rule that could not be made or leads nowhere, a container that doesn't stop, a proxy that doesn't move, a port that a firewall
    /// shuts.
    pub(crate) async fn run(&self, stopping: &Cell<bool>, report: &dyn Fn(&Step)) -> anyhow::Result<()> {
        for (spec, machine, standing) in &self.hosts {
            if stopping.get() {
                break;
            }
            let say = |kind, text: String| report(&Step { host: spec.name.to_string(), kind, text });
            if standing.is_done() {
                say(StepKind::Found, format!("Cutover's proxy has the ports of {}", self.container));
                continue;
            }
            let leading = Redirection { machine, spec };
            if standing.runs() {
                if let Err(error) = self.lead(&leading, machine, standing, &say).await {
                    leading.end().await?;
                    say(StepKind::Failed, format!("{} has its traffic as before", self.container));
                    return Err(error);
                }
                self.end_other(machine, &say).await?;
            }
            // In two steps: whoever was led to where it was a moment ago is still answered there.
            let moved = |stays| setup::Options::moved(spec, standing.ports(), stays);
            if standing.is_to_move() {
                Box::pin(setup::setup(&moved(true), report)).await?;
            }
            self.let_go(&leading, spec, standing).await?;
            Box::pin(setup::setup(&moved(false), report)).await?;
            leading.end().await?;
            let ports: Vec<_> = standing.ports().iter().map(ToString::to_string).collect();
            say(StepKind::Done, format!("Cutover's proxy answers on port {}", ports.join(" and ")));
        }
        Ok(())
    }

    /// New connections come to Cutover's proxy.
    async fn lead(
        &self,
        leading: &Redirection<'_>,
        machine: &Machine,
        standing: &Standing,
        say: &dyn Fn(StepKind, String),
    ) -> anyhow::Result<()> {
        let moves = |wanted: fn(u16) -> bool| standing.moves().filter(move |(from, _)| wanted(*from));
        if standing.lacks_certificate() {
            leading.begin(moves(|port| port == standing::HTTP)).await?;
            let text = "waits for the certificate, which an authority can order from here now; an order that has failed before is \
                        tried again at once by `cutover deploy --force` in another terminal";
            say(StepKind::Advice, text.to_owned());
            self.certified(machine).await?;
        }
        leading.begin(moves(|_| true)).await?;
        for (port, _) in standing.moves() {
            leading.check(port, standing.was_reached(port)).await?;
        }
        let text = format!(
            "new connections come to Cutover's proxy, those of {} are its own to end",
            self.container
        );
        say(StepKind::Done, text);
        Ok(())
    }

    /// The other proxy ends. It can't be told to go on once that was begun.
    async fn end_other(&self, machine: &Machine, say: &dyn Fn(StepKind, String)) -> anyhow::Result<()> {
        let limit = i32::try_from(END_LIMIT.as_secs()).unwrap_or(i32::MAX);
        let (container, began) = (&self.container, Instant::now());
        while standing::runs(machine, container).await? {
            let options = StopContainerOptionsBuilder::default().t(limit).build();
            let stopped = machine.docker().await?.stop_container(container, Some(options)).await;
            // A connection that was lost meanwhile has not kept Docker from stopping it.
            if let Err(error) = stopped
                && began.elapsed() > ENDED_WITHIN
            {
                return Err(machine.host().docker_failed(format!("stopping {container}"))(error).into());
            }
        }
        // It would have the ports again with the host's next start.
        let never = RestartPolicy { name: Some(RestartPolicyNameEnum::NO), ..RestartPolicy::default() };
        let update = ContainerUpdateBody { restart_policy: Some(never), ..ContainerUpdateBody::default() };
        match machine.docker().await?.update_container(container, update).await {
            // One that is removed as it ends.
            Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
            }
            Err(error) => {
                let doing = format!("keeping {container} from starting again");
                return Err(machine.host().docker_failed(doing)(error).into());
            }
        }
        say(StepKind::Done, format!("{container} has ended its requests and is stopped"));
        Ok(())
    }

    /// What comes to the ports comes there directly. Where it doesn't, as a firewall shuts them, it is led again.
    async fn let_go(
        &self,
        leading: &Redirection<'_>,
        spec: &HostSpec,
        standing: &Standing,
    ) -> anyhow::Result<()> {
        let mut open = Vec::new();
        for port in standing.ports() {
            if standing::reaches(spec, *port).await {
                open.push(*port);
            }
        }
        for port in &open {
            if !leading.comes_directly(*port).await? {
                return Err(Error::Unreached { host: spec.name.clone(), port: *port }.into());
            }
        }
        let removed = leading.stop().await?;
        for port in open {
            if !standing::reaches(spec, port).await {
                leading.restore(&removed).await?;
                return Err(Error::Unreached { host: spec.name.clone(), port }.into());
            }
        }
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
