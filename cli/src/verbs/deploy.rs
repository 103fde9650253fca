//! `cutover deploy`: makes the application in front of us live.

use cutover_bus::ServiceLog;
use cutover_core::{
    Decision, DeploymentId, HostName, HostSpec, ImageSource, Plan, Release, ReleaseId, Service,
    SidecarImages, Target, Timestamp,
};
use serde::Serialize;

use crate::args::{Deploy, Global};
use crate::console::Console;
use crate::decide::{decide, require_programs};
use crate::error::Error;
use crate::exit::Exit;
use crate::persons::{Persons, lacking, require_named};
use crate::project::Project;
use crate::release::{self, Assembled};
use crate::session::Session;
use crate::{clock, danger, models, person, planning, windows};

/// Nothing was to be done, as `--json` has it.
#[derive(Serialize)]
struct Nothing<'a> {
    status: &'static str,
    deployment: &'a DeploymentId,
    release: &'a ReleaseId,
}

pub(super) async fn run(options: &Global, args: Deploy, console: Console) -> anyhow::Result<Exit> {
    let options = options.at(args.place);
    let mut project = Project::open(&options)?;
    project.tell(console);
    let sidecars = project.target.sidecars.iter_mut().map(|sidecar| &mut sidecar.source);
    for image in sidecars.chain([&mut project.target.image]).filter(|_| args.rebuild) {
        if let ImageSource::Builder { recipe, .. } = image {
            recipe.no_cache = true;
        }
    }
    let closed = windows::closed_until(&project.target.windows, clock::now())?;
    if let (Some(next), false) = (closed, args.force) {
        return Err(closed_now(project.target, next).into());
    }
    let session = Session::open(&options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    // Before anything is packed: the usual reason to be refused is found at once.
    if let Some(running) = log.service().running() {
        let (deployment, key) = (running.id().clone(), project.target.key);
        return Err(
            Error::Running { deployment, key, by: running.plan.by.clone(), since: running.accepted }.into()
        );
    }
    if args.refresh_secrets {
        let untimely = closed.is_some();
        return Box::pin(refresh(&session, log, &project.target, untimely, args.detach, console)).await;
    }
    let persons = Persons::read(&project.target.needed_secrets()).await?;
    let store = session.store().await?;
    let models = models::resolve(&project, log.service(), Some(&store), console).await?;
    let Assembled { release, verdicts, .. } =
        release::assemble(&project, models, args.version, Some(&store), console).await?;
    if !args.force
        && !args.rebuild
        && planning::is_live(log.service(), &release)
        && let Some(live) = log.service().live()
        && lacking(&session, &live.sealed, live.release.settings.needed_secrets()).await?.is_empty()
    {
        if console.json {
            console.object(&Nothing {
                status: "nothing",
                deployment: &live.deployment,
                release: &live.id,
            })?;
        } else {
            console.line(format_args!("nothing to do: release {} ({}) is live", live.id, release.version))?;
            console.note("hint: cutover deploy --force deploys it again");
        }
        return Ok(Exit::Ok);
    }
    for file in planning::rewritten(log.service(), &release) {
        console.note(format_args!("warning: {}", danger::not_again(file)));
    }
    let verdicts = danger::of_pending(&verdicts, &planning::pending(log.service(), &release));
    verdicts.iter().for_each(|verdict| console.note(verdict));
    danger::check(log.service(), verdicts)?;
    let known = match args.rebuild {
        true => planning::Images::default(),
        false => known_images(log.service(), &release, &session).await?,
    };
    if known.0.is_some() && release.source.recipe().is_some() {
        console.note("nothing to build: the image of the same source is kept (`--rebuild` builds it again)");
    }
    let plan = planning::deploy(log.service(), &project.target, release, known, person::by())?;
    let sealed = persons.sealed(&session, &plan).await?;
    let plan = Plan { untimely: closed.is_some(), sealed, ..plan };
    require_programs(&session, &plan).await?;
    Box::pin(decide(&session, log, Decision::Accepted(Box::new(plan)), args.detach, console)).await
}

/// Makes the containers of what is live anew, as its secrets are now.
async fn refresh(
    session: &Session,
    log: ServiceLog,
    target: &Target,
    untimely: bool,
    detach: bool,
    console: Console,
) -> anyhow::Result<Exit> {
    let named = target.needed_secrets();
    let Target { key, hosts, .. } = target.clone();
    let Some(live) = log.service().live() else { return Err(Error::NeverDeployed(key).into()) };
    let settings = &live.release.settings;
    if settings.needed_secrets().is_empty() {
        console.line(format_args!("nothing to do: release {} has no secrets", live.id))?;
        return Ok(Exit::Ok);
    }
    let lacks = |host: &&HostSpec| {
        live.replicas.as_ref().is_some_and(|replicas| !replicas.hosts.contains_key(&host.name))
    };
    let lacking: Vec<HostName> = hosts.iter().filter(lacks).map(|host| host.name.clone()).collect();
    if !lacking.is_empty() {
        return Err(Error::NotThere { release: live.id.clone(), key, hosts: lacking }.into());
    }
    let needed = settings.needed_secrets();
    require_named(&needed, &named)?;
    let persons = Persons::read(&needed).await?;
    let plan = planning::refresh(log.service(), key, hosts, live, person::by())?;
    let sealed = persons.sealed(session, &plan).await?;
    let plan = Plan { untimely, sealed, ..plan };
    require_programs(session, &plan).await?;
    Box::pin(decide(session, log, Decision::Accepted(Box::new(plan)), detach, console)).await
}

fn closed_now(Target { key, windows, .. }: Target, next: Timestamp) -> Error {
    Error::Closed { key, windows, next }
}

/// The images that need no build: those that were built of the same sources, and are still there.
async fn known_images(
    service: &Service,
    release: &Release,
    session: &Session,
) -> anyhow::Result<planning::Images> {
    let (image, sidecars) = planning::known_images(service, release);
    let image = match image {
        Some(image) if session.has_image(&image).await? => Some(image),
        _ => None,
    };
    let mut there = SidecarImages::new();
    for (name, built) in sidecars {
        if session.has_image(&built.image).await? {
            there.insert(name, built);
        }
    }
    Ok((image, there))
}
