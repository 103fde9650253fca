//! `cutover rollback`: makes a kept release live again.

use cutover_bus::ServiceLog;
use cutover_core::{
    Decision, DeploymentId, KeptRelease, Plan, Refused, ReleaseId, ReplicaSet, Target, Timestamp,
};
use serde::Serialize;

use crate::args::{Global, Rollback};
use crate::console::Console;
use crate::decide::{decide_between, require_programs};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::Hooks;
use crate::persons::require_opened;
use crate::project::Project;
use crate::session::Session;
use crate::{choice, clock, person, planning};

/// A kept release, as `--json` has it.
#[derive(Serialize)]
struct Kept<'a> {
    release: &'a ReleaseId,
    version: &'a str,
    live: bool,
    /// Until when its replicas are warm.
    warm_until: Option<Timestamp>,
    /// The migrations whose contract has begun and which it doesn't know: it can't be gone back to.
    contracted: Vec<String>,
    since: Timestamp,
    deployment: &'a DeploymentId,
}

pub(super) async fn run(options: &Global, args: Rollback, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    if args.list {
        return list(&log, console);
    }
    let kept = match choice::release(&log, args.release.as_deref()) {
        Err(error @ Error::Release { .. }) if !console.json => {
            list(&log, console)?;
            return Err(error.into());
        }
        chosen => chosen?,
    };
    if let Some(live) = log.service().live().filter(|live| live.id == kept.id) {
        console
            .line(format_args!("nothing to do: release {} ({}) is live", live.id, live.release.version))?;
        return Ok(Exit::Ok);
    }
    let kept = kept.clone();
    let mut hooks = Hooks::of(&project, "rollback", args.skip_hooks, console);
    let warm = planning::warm(log.service(), &kept, &project.target.hosts).filter(|_| !args.boot);
    if let Some(warm) = warm {
        let how =
            format_args!("back to {} (release {}), whose replicas are warm", kept.release.version, kept.id);
        console.note(how);
        let plan = planned(&session, &log, &project, &kept, Some(warm.clone())).await?;
        let decision = Decision::Accepted(Box::new(plan.clone()));
        let taken = decide_between(&mut hooks, &plan, &session, log.clone(), decision, args.detach, console);
        match Box::pin(taken).await {
            // They were about to be stopped when this was decided.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Refused(Refused::NotWarm(_)))) => {}
            done => return done,
        }
    }
    // A hook may have run by now.
    let has_images = hooks.unless_interrupted(session.has_images(kept.images()));
    if !has_images.await? {
        return Err(Error::ImageGone { release: format!("{} ({})", kept.id, kept.release.version) }.into());
    }
    console.note(format_args!("back to {} (release {})", kept.release.version, kept.id));
    let plan = hooks.unless_interrupted(planned(&session, &log, &project, &kept, None)).await?;
    let decision = Decision::Accepted(Box::new(plan.clone()));
    Box::pin(decide_between(&mut hooks, &plan, &session, log, decision, args.detach, console)).await
}

/// The plan of the way back, which can be carried out.
async fn planned(
    session: &Session,
    log: &ServiceLog,
    project: &Project,
    kept: &KeptRelease,
    warm: Option<ReplicaSet>,
) -> anyhow::Result<Plan> {
    let Target { key, hosts, .. } = project.target.clone();
    let plan = planning::rollback(log.service(), key, hosts, kept, warm, person::by())?;
    require_programs(session, &plan).await?;
    require_opened(session, &plan).await?;
    Ok(plan)
}

fn list(log: &ServiceLog, console: Console) -> anyhow::Result<Exit> {
    let service = log.service();
    let live = service.live().map(|live| &live.id);
    for kept in &service.kept {
        let is_live = Some(&kept.id) == live;
        if console.json {
            console.object(&Kept {
                release: &kept.id,
                version: &kept.release.version,
                live: is_live,
                warm_until: service.warm_until(kept),
                contracted: service.schema.unknown_to(&kept.release),
                since: kept.since,
                deployment: &kept.deployment,
            })?;
            continue;
        }
        let mark = if is_live {
            "live"
        } else if service.warm_until(kept).is_some() {
            "warm"
        } else {
            ""
        };
        let contracted = service.schema.unknown_to(&kept.release);
        let lost = match contracted.is_empty() {
            true => String::new(),
            false => format!("  (no way back: migration {} is contracted)", contracted.join(", ")),
        };
        let (since, version) = (clock::date_and_time(kept.since), &kept.release.version);
        console.line(format_args!(
            "{mark:4}  {}  {since}  {}  {version}{lost}",
            kept.id,
            kept.deployment.short()
        ))?;
    }
    Ok(Exit::Ok)
}
