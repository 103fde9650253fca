//! `cutover status`: what is live, and how the running or last deployment stands.

use cutover_bus::ServiceLog;
use cutover_core::{Deployment, DeploymentId, KeptRelease, Outcome, ReleaseId, ServiceKey, Timestamp};
use serde::Serialize;

use crate::args::{Global, Status};
use crate::clock;
use crate::console::Console;
use crate::exit::Exit;
use crate::follow::{Interrupt, follow};
use crate::project;
use crate::session::Session;
use crate::tree::{Look, Tree, render};

/// A service, as `--json` has it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    key: &'a ServiceKey,
    live: Option<Live<'a>>,
    deployment: Option<&'a Deployment>,
    outcome: Option<Outcome>,
}

#[derive(Serialize)]
struct Live<'a> {
    release: &'a ReleaseId,
    version: &'a str,
    since: Timestamp,
    deployment: &'a DeploymentId,
}

pub(super) async fn run(options: &Global, args: &Status, console: Console) -> anyhow::Result<Exit> {
    let keys = project::keys(options)?;
    let session = Session::look(options, console).await?;
    let keys = match keys {
        Some(keys) => keys,
        None => session.journal.services().await?,
    };
    let mut logs = Vec::new();
    for key in &keys {
        logs.push(session.journal.service(key).await?);
    }
    if args.watch
        && let Some(index) = logs.iter().position(|log| log.service().running().is_some())
    {
        let log = logs.swap_remove(index);
        let running = log.service().running().map(|running| running.id().clone());
        if let Some(deployment) = running {
            return follow(&session, log, &deployment, console, Interrupt::catch()?).await;
        }
    }
    for log in &logs {
        show(&session, log, console).await?;
    }
    if logs.is_empty() {
        console.note("nothing has been deployed yet");
    }
    Ok(Exit::Ok)
}

async fn show(session: &Session, log: &ServiceLog, console: Console) -> anyhow::Result<()> {
    let (key, service) = (log.key(), log.service());
    if console.json {
        let outcome = service.current.as_ref().and_then(Deployment::outcome);
        let report =
            Report { key, live: service.live().map(live), deployment: service.current.as_ref(), outcome };
        return Ok(console.object(&report)?);
    }
    let missing = match service.running() {
        Some(running) => session.absent(&crate::planning::programs(&running.plan)).await?,
        None => Vec::new(),
    };
    let (width, _) = console.size();
    let look = Look { width, colour: console.colour, frame: 0 };
    match Tree::of(service, clock::now(), &missing) {
        Some(tree) => {
            for line in render(&tree, &look) {
                console.line(line)?;
            }
            console.line("")?;
        }
        None => console.line(format_args!("{} → {}", key.service, key.destination))?,
    }
    match service.live() {
        Some(live) => {
            let ago = clock::duration(clock::now().since(live.since));
            let (version, since) = (&live.release.version, clock::date_and_time(live.since));
            console
                .line(format_args!("serving: {version} (release {}) since {since}, for {ago}", live.id))?;
        }
        None => console.line("serving: nothing yet")?,
    }
    for (kept, until) in service.kept.iter().filter_map(|kept| Some((kept, service.warm_until(kept)?))) {
        let (version, until) = (&kept.release.version, clock::date_and_time(until));
        console.line(format_args!("warm: {version} (release {}) until {until}", kept.id))?;
    }
    let debts = service.debts().count();
    if debts > 0 {
        console.line(format_args!("owed: {debts} (cutover hosts says what, and by which host)"))?;
    }
    Ok(())
}

fn live(kept: &KeptRelease) -> Live<'_> {
    Live {
        release: &kept.id,
        version: &kept.release.version,
        since: kept.since,
        deployment: &kept.deployment,
    }
}
