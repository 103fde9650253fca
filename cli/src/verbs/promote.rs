//! `cutover promote`: the canary that runs needn't hold its step any longer.

use cutover_core::{Decision, Stage, Task};

use crate::args::{Global, Promote};
use crate::choice;
use crate::console::Console;
use crate::decide::decide;
use crate::exit::Exit;
use crate::person;
use crate::project::Project;
use crate::session::Session;

pub(super) async fn run(options: &Global, args: Promote, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let deployment = choice::deployment(&log, None)?;
    let canary = Task { stage: Stage::Canary, host: None };
    let current = log.service().current.as_ref();
    let reached = current.and_then(|current| current.state(&canary).reached);
    // The step that is seen, and no later one that may have begun meanwhile. Before the first there is none.
    let step = (!args.full).then(|| reached.unwrap_or_default());
    let promoted = Decision::Promoted { deployment, by: person::by(), step };
    Box::pin(decide(&session, log, promoted, args.detach, console)).await
}
