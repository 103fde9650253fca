//! `cutover replay`: goes on with a deployment that failed.

use cutover_core::{Decision, Deployment, Stage};

use crate::args::{Global, Replay};
use crate::choice;
use crate::console::Console;
use crate::decide::{decide_between, require_programs};
use crate::exit::Exit;
use crate::hooks::Hooks;
use crate::person;
use crate::persons::require_opened;
use crate::project::Project;
use crate::session::Session;

pub(super) async fn run(options: &Global, args: Replay, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let deployment = choice::deployment(&log, args.deployment.as_deref())?;
    let current = choice::current(&log)?;
    require_programs(&session, &current.plan).await?;
    require_opened(&session, &current.plan).await?;
    let from = match args.from {
        None if is_image_gone(&session, current).await? => Some(Stage::Build),
        from => from,
    };
    let decision = Decision::Replayed { deployment, by: person::by(), from };
    // Of a replay that will be refused, only the refusal is told.
    if log.service().check(&decision).is_ok()
        && let Some(entry) = log.service().replay_entry(from)
    {
        console.note(format_args!("goes on at {entry}"));
    }
    let plan = current.plan.clone();
    let mut hooks = Hooks::of(&project, "replay", args.skip_hooks, console);
    Box::pin(decide_between(&mut hooks, &plan, &session, log, decision, args.detach, console)).await
}

/// Whether the image that the deployment built was removed from the store: then it is built again.
async fn is_image_gone(session: &Session, deployment: &Deployment) -> anyhow::Result<bool> {
    Ok(deployment.plan.stages.contains(&Stage::Build) && !session.has_images(deployment.images()).await?)
}
