//! Taking a decision, and following what comes of it.

use cutover_bus::{DecideError, ServiceLog};
use cutover_core::{Decision, DeploymentId, Plan, Refused};
use serde::Serialize;

use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::follow::{Followed, Interrupt, follow};
use crate::hooks::Hooks;
use crate::planning;
use crate::session::Session;

/// A decision that was taken, as `--json` has it.
#[derive(Serialize)]
struct Taken<'a> {
    status: &'static str,
    deployment: &'a DeploymentId,
    version: &'a str,
}

/// Takes the decision and follows the deployment to its end, or, detached, doesn't.
///
/// # Errors
/// A decision that is refused; a bus that is lost.
pub(crate) async fn decide(
    session: &Session,
    log: ServiceLog,
    decision: Decision,
    detach: bool,
    console: Console,
) -> anyhow::Result<Exit> {
    Ok(Box::pin(taken(session, log, decision, detach, console)).await?.into())
}

/// The same of a decision by which a deployment begins or goes on as `plan` says, with the hooks around it.
///
/// # Errors
/// As for [`decide`], and a hook that stops it before.
pub(crate) async fn decide_between(
    hooks: &mut Hooks,
    plan: &Plan,
    session: &Session,
    log: ServiceLog,
    decision: Decision,
    detach: bool,
    console: Console,
) -> anyhow::Result<Exit> {
    // A hook may take its time, and the plan was made before.
    let log = if hooks.before_deploy(plan).await? {
        hooks.unless_interrupted(async { Ok(session.journal.service(log.key()).await?) }).await?
    } else {
        log
    };
    let live = log.service().live().map(|live| &live.id);
    if matches!(decision, Decision::Accepted(_)) && live != plan.replaces.as_ref() {
        return Err(Error::Overtaken(log.key().clone()).into());
    }
    let followed = Box::pin(taken(session, log, decision, detach, console)).await?;
    hooks.after(plan, followed).await;
    Ok(followed.into())
}

async fn taken(
    session: &Session,
    mut log: ServiceLog,
    decision: Decision,
    detach: bool,
    console: Console,
) -> anyhow::Result<Followed> {
    let interrupt = Interrupt::catch()?;
    let deployment = decision.deployment().clone();
    let status = match decision {
        Decision::Accepted(_) => "accepted",
        Decision::Aborted { .. } => "aborting",
        Decision::Replayed { .. } => "replaying",
        Decision::Approved { .. } => "approved",
        Decision::Promoted { .. } => "promoted",
        Decision::Forgiven { .. } => "forgiven",
    };
    session.journal.decide(&mut log, decision).await.map_err(refused)?;
    if console.json {
        let version =
            log.service().current.as_ref().map_or("", |current| current.plan.release.version.as_str());
        console.object(&Taken { status, deployment: &deployment, version })?;
    } else if detach {
        console.line(format_args!("deployment {} {status}", deployment.short()))?;
        console.note("hint: watch it: cutover status -w");
    }
    if detach {
        return Ok(Followed::Left(Exit::Ok));
    }
    follow(session, log, &deployment, console, interrupt).await
}

/// Refuses a plan that nobody is there to carry out: it would only wait.
///
/// # Errors
/// The programs that are missing.
pub(crate) async fn require_programs(session: &Session, plan: &Plan) -> anyhow::Result<()> {
    let missing = session.absent(&planning::programs(plan), plan.protocol).await?;
    if missing.is_empty() { Ok(()) } else { Err(Error::NoWorkers(missing).into()) }
}

/// Another deployment is named with all that helps to find out about it.
pub(crate) fn refused(error: DecideError) -> anyhow::Error {
    match error {
        DecideError::Refused(Refused::Running { deployment, key, by, since }) => {
            Error::Running { deployment, key, by, since }.into()
        }
        DecideError::Refused(refused) => Error::Refused(refused).into(),
        DecideError::Bus(error) => error.into(),
    }
}
