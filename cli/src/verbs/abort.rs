//! `cutover abort`: takes the running deployment back.

use cutover_core::Decision;

use crate::args::{Abort, Global};
use crate::console::Console;
use crate::decide::decide;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::{choice, person};

pub(super) async fn run(options: &Global, args: Abort, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let deployment = choice::deployment(&log, args.deployment.as_deref())?;
    let ended = Box::pin(decide(
        &session,
        log,
        Decision::Aborted { deployment, by: person::by() },
        args.detach,
        console,
    ))
    .await?;
    // That it was aborted is what was asked for.
    Ok(if ended == Exit::Aborted { Exit::Ok } else { ended })
}
