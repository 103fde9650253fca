//! Following a deployment until it has ended: as a tree on a terminal, as lines in a pipe, as JSON where asked.

mod changes;
mod interrupt;
mod view;

use std::time::Duration;

use cutover_bus::ServiceLog;
use cutover_core::{Deployment, DeploymentId, Outcome, Program, Service, Timestamp};
use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::session::Session;

pub(crate) use interrupt::Interrupt;
use view::View;

/// How often the picture moves.
const FRAME: Duration = Duration::from_millis(120);
/// How often it is looked whether the programs are there that due tasks wait for.
const LOOK: Duration = Duration::from_secs(3);
/// How long a task is due before anybody wonders why nobody takes it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the following of a deployment ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Followed {
    /// With the deployment.
    Ended(Outcome),
    /// Before it: the deployment goes on.
    Left(Exit),
}

/// Follows the deployment from what `log` says of it until it has ended, and says how. An interrupt ends the following,
/// never the deployment.
///
/// # Errors
/// A bus that is lost for good, a standard output that was closed.
pub(crate) async fn follow(
    session: &Session,
    log: ServiceLog,
    deployment: &DeploymentId,
    console: Console,
    mut interrupt: Interrupt,
) -> anyhow::Result<Followed> {
    let mut service = log.service().clone();
    // A stream keeps its place when its waiting is interrupted: a subscription that takes long to make is not begun anew.
    let mut states = stream::unfold(session.journal.follow(log), async |mut watch| {
        let changed = watch.changed().await.map(|()| watch.service().clone());
        Some((changed, watch))
    })
    .boxed_local();
    let mut view = View::new(console)?;
    let mut missing = Vec::new();
    let (mut frame, mut look) = (interval(FRAME), interval(LOOK));
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let signal = loop {
        if let Some(outcome) = outcome_of(&service, deployment) {
            view.finish(&service)?;
            return Ok(Followed::Ended(outcome));
        }
        view.show(&service, clock::now(), &missing)?;
        let stuck = service.running().filter(|running| is_stuck(running, clock::now()));
        let protocol = stuck.map(|stuck| stuck.plan.protocol);
        tokio::select! {
            Some(next) = states.next() => service = next.map_err(|error| Error::Lost(deployment.clone(), error))?,
            signal = interrupt.signal() => break signal,
            _ = frame.tick(), if view.moves() => {}
            // A bus that doesn't answer now says nothing about programs.
            _ = look.tick() => {
                missing = match protocol {
                    Some(protocol) => session.absent(&Program::ALL, protocol).await.unwrap_or_default(),
                    None => Vec::new(),
                };
            }
        }
    };
    view.leave(&service)?;
    console.note(format_args!("deployment {} goes on without this command", deployment.short()));
    console.note("hint: watch it: cutover status -w    take it back: cutover abort");
    Ok(Followed::Left(signal))
}

impl From<Followed> for Exit {
    fn from(followed: Followed) -> Self {
        match followed {
            Followed::Ended(outcome) => outcome.into(),
            Followed::Left(exit) => exit,
        }
    }
}

/// How the deployment ended. Another may have begun since.
fn outcome_of(service: &Service, deployment: &DeploymentId) -> Option<Outcome> {
    match service.current.as_ref().filter(|current| current.id() == deployment) {
        Some(current) => current.outcome(),
        None => {
            service.history.iter().find(|ended| ended.deployment == *deployment).map(|ended| ended.outcome)
        }
    }
}

/// Whether something is due for a while, and nobody has taken anything.
fn is_stuck(deployment: &Deployment, now: Timestamp) -> bool {
    let waited = |since: Timestamp| now.since(since) > PATIENCE;
    waited(deployment.last) && deployment.due().iter().any(|due| waited(due.not_before))
}
