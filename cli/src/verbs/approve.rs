//! `cutover approve`: the contract phase of what is live may begin at once.

use cutover_core::{Decision, Stage};

use crate::args::Global;
use crate::console::Console;
use crate::decide::refused;
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::{clock, person};

pub(super) async fn run(options: &Global, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let mut log = session.journal.service(&project.target.key).await?;
    let service = log.service();
    let owed = service.obligations.iter().find(|owed| owed.task.stage == Stage::Contract);
    let Some(owed) = owed else { return Err(Error::NothingToApprove(log.key().clone()).into()) };
    // What it gives up is said before it is gone.
    for contract in service.contracts(clock::now()) {
        console.note(format_args!("approves the contract of {}", contract.file.title()));
        for kept in service.kept.iter().filter(|kept| !kept.release.knows(&contract.file.version)) {
            let (version, id) = (&kept.release.version, &kept.id);
            console.note(format_args!("{version} (release {id}) can't be gone back to once that has begun"));
        }
    }
    let approved = Decision::Approved { deployment: owed.deployment.clone(), by: person::by() };
    session.journal.decide(&mut log, approved).await.map_err(refused)?;
    console.line("approved (cutover migrations says how it goes)")?;
    Ok(Exit::Ok)
}
