//! `cutover deploy`: makes the application in front of us live.

use cutover_bus::ServiceLog;
use cutover_core::{
    Decision, DeploymentId, HostName, HostSpec, ImageSource, Plan, Release, ReleaseId, Service,
    SidecarImages, Target,
};
use serde::Serialize;

use crate::args::{Deploy, Global};
use crate::console::Console;
use crate::decide::{decide_between, require_programs};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::Hooks;
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

/// What is wanted of a deployment beside what the deploy file says.
pub(crate) struct Wish {
    /// Who asks for it.
    pub(crate) by: String,
    /// The release's name instead of the commit.
    pub(crate) version: Option<String>,
    /// Also where just this release is live.
    pub(crate) force: bool,
    /// Also what a kept release was built of.
    pub(crate) rebuild: bool,
}

pub(super) async fn run(options: &Global, args: Deploy, console: Console) -> anyhow::Result<Exit> {
    let options = options.at(args.place.clone());
    let mut project = Project::open(&options)?;
    project.tell(console);
    let sidecars = project.target.sidecars.iter_mut().map(|sidecar| &mut sidecar.source);
    for image in sidecars.chain([&mut project.target.image]).filter(|_| args.rebuild) {
        if let ImageSource::Builder { recipe, .. } = image {
            recipe.no_cache = true;
        }
    }
    let untimely = check_window(&project.target, args.force)?;
    let session = Session::open(&options, console).await?;
    let mut log = session.journal.service(&project.target.key).await?;
    // Before anything is packed: the usual reason to be refused is found at once.
    if let Some(running) = log.service().running() {
        let (deployment, key) = (running.id().clone(), project.target.key);
        return Err(
            Error::Running { deployment, key, by: running.plan.by.clone(), since: running.accepted }.into()
        );
    }
    let mut hooks = Hooks::of(&project, "deploy", args.skip_hooks, console);
    let detach = args.detach;
    let plan = if args.refresh_secrets {
        Box::pin(refreshed(&session, &log, &project.target, console)).await?
    } else {
        if project.target.is_built() {
            let version = args.version.clone().or(release::commit(&project).await);
            if hooks.before_build(&project.target, version.as_deref()).await? {
                // It may have taken its time.
                log = session.journal.service(&project.target.key).await?;
            }
        }
        let Deploy { version, force, rebuild, .. } = args;
        let wish = Wish { by: person::by(), version, force, rebuild };
        hooks.unless_interrupted(Box::pin(plan(&session, &log, &project, wish, console))).await?
    };
    let Some(plan) = plan else { return Ok(Exit::Ok) };
    let plan = Plan { untimely, ..plan };
    let decision = Decision::Accepted(Box::new(plan.clone()));
    Box::pin(decide_between(&mut hooks, &plan, &session, log, decision, detach, console)).await
}

/// The plan by which a project goes live, all of which is in the store then; none, which is said, where just that is live.
///
/// # Errors
/// Why it can't be made live, or not now.
pub(crate) async fn plan(
    session: &Session,
    log: &ServiceLog,
    project: &Project,
    wish: Wish,
    console: Console,
) -> anyhow::Result<Option<Plan>> {
    let persons = Persons::read(&project.target.needed_secrets()).await?;
    let store = session.store().await?;
    let models = models::resolve(project, log.service(), Some(&store), console).await?;
    let Assembled { release, verdicts, .. } =
        release::assemble(project, models, wish.version, Some(&store), console).await?;
    if !wish.force
        && !wish.rebuild
        && planning::is_live(log.service(), &release)
        && let Some(live) = log.service().live()
        && lacking(session, &live.sealed, live.release.settings.needed_secrets()).await?.is_empty()
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
        return Ok(None);
    }
    for file in planning::rewritten(log.service(), &release) {
        console.note(format_args!("warning: {}", danger::not_again(file)));
    }
    let verdicts = danger::of_pending(&verdicts, &planning::pending(log.service(), &release));
    verdicts.iter().for_each(|verdict| console.note(verdict));
    danger::check(log.service(), verdicts)?;
    let known = match wish.rebuild {
        true => planning::Images::default(),
        false => known_images(log.service(), &release, session).await?,
    };
    if known.0.is_some() && release.source.recipe().is_some() {
        console.note("nothing to build: the image of the same source is kept (`--rebuild` builds it again)");
    }
    let plan = planning::deploy(log.service(), &project.target, release, known, wish.by)?;
    let sealed = persons.sealed(session, &plan).await?;
    let plan = Plan { sealed, ..plan };
    require_programs(session, &plan).await?;
    Ok(Some(plan))
}

/// The plan that makes the containers of what is live anew, as its secrets are now; none where it has none.
async fn refreshed(
    session: &Session,
    log: &ServiceLog,
    target: &Target,
    console: Console,
) -> anyhow::Result<Option<Plan>> {
    let named = target.needed_secrets();
    let Target { key, hosts, .. } = target.clone();
    let Some(live) = log.service().live() else { return Err(Error::NeverDeployed(key).into()) };
    let settings = &live.release.settings;
    if settings.needed_secrets().is_empty() {
        console.line(format_args!("nothing to do: release {} has no secrets", live.id))?;
        return Ok(None);
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
    let plan = Plan { sealed, ..plan };
    require_programs(session, &plan).await?;
    Ok(Some(plan))
}

/// Whether a deployment begins outside of its windows, which has to be forced.
///
/// # Errors
/// None begins now, and it isn't.
pub(crate) fn check_window(target: &Target, force: bool) -> anyhow::Result<bool> {
    match windows::closed_until(&target.windows, clock::now())? {
        Some(next) if !force => {
            let Target { key, windows, .. } = target.clone();
            Err(Error::Closed { key, windows, next }.into())
        }
        closed => Ok(closed.is_some()),
    }
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
