//! Following a deployment until it has ended: as a tree on a terminal, as lines in a pipe, as JSON where asked.

mod changes;
mod interrupt;
mod view;

use std::time::Duration;

use cutover_bus::{Bus, Journal};
use cutover_core::{Deployment, DeploymentId, PROTOCOL, Program, Service, ServiceKey, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::session::Session;

pub(crate) use changes::{Change, changes};
pub(crate) use interrupt::Interrupt;
use view::View;

/// How often the picture moves.
const FRAME: Duration = Duration::from_millis(120);
/// How often it is looked whether the programs are there that due tasks wait for.
const LOOK: Duration = Duration::from_secs(3);
/// How long a task is due before anybody wonders why nobody takes it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long programs have to answer that they are there.
const ANSWER: Duration = Duration::from_millis(300);

/// Follows the deployment until it has ended, and says how. `from` is the sequence of the decision that began what is to be
/// seen: an older end of the same deployment doesn't count. An interrupt ends the following, never the deployment.
///
/// # Errors
/// A bus that is lost for good, a standard output that was closed.
pub(crate) async fn follow(
    session: &Session,
    key: &ServiceKey,
    deployment: &DeploymentId,
    from: u64,
    console: Console,
    mut interrupt: Interrupt,
) -> anyhow::Result<Exit> {
    let lost = |error| Error::Lost(deployment.clone(), error);
    let mut watch = session.journal.watch(key).await.map_err(lost)?;
    let mut view = View::new(console)?;
    let mut missing = Vec::new();
    let (mut frame, mut look) = (interval(FRAME), interval(LOOK));
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let signal = loop {
        let service = watch.service();
        if service.last_decision >= from {
            if let Some(exit) = exit_of(service, deployment) {
                view.finish(service)?;
                return Ok(exit);
            }
            view.show(service, clock::now(), &missing)?;
        }
        tokio::select! {
            changed = watch.changed() => changed.map_err(lost)?,
            signal = interrupt.signal() => break signal,
            _ = frame.tick(), if view.moves() => {}
            _ = look.tick() => {
                let stuck = service.running().is_some_and(|running| is_stuck(running, clock::now()));
                missing = if stuck { absent(&session.bus, &Program::ALL).await? } else { Vec::new() };
            }
        }
    };
    let service = watch.service();
    view.leave(service)?;
    console.note(format_args!(
        "deployment {} goes on without this command\n  watch it: cutover status -w -d {dest}    take it back: cutover abort -d {dest}",
        deployment.short(),
        dest = key.destination,
    ));
    Ok(signal)
}

/// Programs of `needed` that nobody runs, or only in a version that doesn't know this protocol.
///
/// # Errors
/// A bus that doesn't answer.
pub(crate) async fn absent(bus: &Bus, needed: &[Program]) -> Result<Vec<Program>, cutover_bus::Error> {
    let present = bus.presence(ANSWER).await?;
    let is_there = |program: Program| present.iter().any(|here| here.program == program && here.protocol >= PROTOCOL);
    Ok(needed.iter().copied().filter(|program| !is_there(*program)).collect())
}

/// The state of a service, read once.
pub(crate) async fn service(journal: &Journal, key: &ServiceKey) -> Result<Service, cutover_bus::Error> {
    Ok(journal.service(key).await?.service().clone())
}

/// How the deployment ended. Another may have begun since.
fn exit_of(service: &Service, deployment: &DeploymentId) -> Option<Exit> {
    match service.current.as_ref().filter(|current| current.id() == deployment) {
        Some(current) => current.outcome().map(Exit::from),
        None => service.history.iter().find(|ended| ended.deployment == *deployment).map(|ended| ended.outcome.into()),
    }
}

/// Whether something is due for a while, and nobody has taken anything.
fn is_stuck(deployment: &Deployment, now: Timestamp) -> bool {
    let waited = |since: Timestamp| now.since(since) > PATIENCE;
    waited(deployment.last) && deployment.due().iter().any(|due| waited(due.not_before))
}
