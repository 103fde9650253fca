//! `cutover plan`: what a deployment would do.

use cutover_core::{
    Check, HostName, MigrationFile, Model, Per, Plan, PrivateImage, ProbeSpec, Program, Repository, Role,
    Service, Settings, Sidecar, SidecarName, Source, Stage, Timestamp,
};
use serde::Serialize;

use crate::args::{Global, PlanArgs};
use crate::console::Console;
use crate::danger::Classified;
use crate::error::Error;
use crate::exit::Exit;
use crate::persons::{Persons, Unresolved};
use crate::project::Project;
use crate::release::{self, Assembled};
use crate::session::Session;
use crate::{clock, danger, models, person, planning, report, version, windows};

/// A plan, as `--json` has it. It holds references to secrets, never their values.
#[derive(Serialize)]
struct Report<'a> {
    plan: &'a Plan,
    changes: bool,
    pending: Vec<String>,
    statements: Vec<Classified<'a>>,
    settings: Vec<String>,
    missing: Vec<Program>,
    warnings: Vec<String>,
    unresolved: Vec<Unresolved>,
    /// When a deployment may begin, where none may now.
    closed_until: Option<Timestamp>,
}

pub(super) async fn run(options: &Global, args: PlanArgs, console: Console) -> anyhow::Result<Exit> {
    Box::pin(plan(options, args, console)).await.map_err(|error| match report::exit(&error) {
        Exit::Unexpected => Error::Unplanned(error).into(),
        _ => error,
    })
}

async fn plan(options: &Global, args: PlanArgs, console: Console) -> anyhow::Result<Exit> {
    let options = options.at(args.place);
    let project = Project::open(&options)?;
    let left = project.tell(console);
    let (service, session) = match Session::look(&options, console).await {
        Ok(session) => (session.journal.service(&project.target.key).await?.service().clone(), Some(session)),
        // Nothing was ever started here: that is no reason to start anything.
        Err(error) if matches!(error.downcast_ref(), Some(Error::NothingHere)) => (Service::default(), None),
        Err(error) => return Err(error),
    };
    let models = models::resolve(&project, &service, None, console).await?;
    let Assembled { release, verdicts, mut warnings } =
        release::assemble(&project, models, args.version, None, console).await?;
    warnings.extend(left);
    let changes = !planning::is_live(&service, &release);
    let known = planning::known_images(&service, &release);
    let plan = planning::deploy(&service, &project.target, release, known, person::by())?;
    let unresolved = Persons::unresolved(&project.target.needed_secrets()).await;
    let missing = match &session {
        Some(session) => session.absent(&planning::programs(&plan), plan.protocol).await?,
        None => Vec::new(),
    };
    for file in planning::rewritten(&service, &plan.release) {
        let warning = danger::not_again(file);
        console.note(format_args!("warning: {warning}"));
        warnings.push(warning);
    }
    let pending = planning::pending(&service, &plan.release);
    let verdicts = danger::of_pending(&verdicts, &pending);
    danger::check(&service, verdicts.iter().copied())?;
    let pending = pending.into_iter().map(MigrationFile::title).collect();
    let settings = service
        .live()
        .map(|live| planning::changed_settings(&live.release.settings, &plan.release.settings))
        .unwrap_or_default();
    let statements = verdicts.into_iter().map(Classified::of).collect();
    let closed_until = windows::closed_until(&project.target.windows, clock::now())?;
    let report = Report {
        plan: &plan,
        changes,
        pending,
        statements,
        settings,
        missing,
        warnings,
        unresolved,
        closed_until,
    };
    if console.json {
        console.object(&report)?;
    } else {
        for line in lines(&service, &report) {
            console.line(line)?;
        }
    }
    Ok(if changes { Exit::Changes } else { Exit::Ok })
}

fn lines(service: &Service, report: &Report<'_>) -> Vec<String> {
    let (plan, release) = (report.plan, &report.plan.release);
    let before = service.live().map(|live| live.release.version.as_str());
    let replaces =
        before.map_or_else(|| "the first release".to_owned(), |version| format!("replaces {version}"));
    let mut lines = vec![format!(
        "{} → {}   {} (release {}), {replaces}",
        plan.key.service,
        plan.key.destination,
        release.version,
        release.id()
    )];
    let unresolved = report.unresolved.iter().map(|unresolved| format!("note: {unresolved}"));
    if !report.changes {
        lines.push("nothing to do: that release is live".to_owned());
        lines.extend(unresolved);
        return lines;
    }
    if !plan.stages.contains(&Stage::Build) {
        lines.push(row("build", "", "nothing: the image of the same source is kept"));
    }
    for stage in &plan.stages {
        let what = what(*stage, plan, &report.pending, before);
        if stage.per_host() {
            let hosts = plan.hosts.iter().enumerate();
            lines.extend(hosts.map(|(index, host)| {
                row(if index == 0 { stage.as_str() } else { "" }, host.name.as_str(), &what)
            }));
        } else {
            lines.push(row(stage.as_str(), "", &what));
        }
    }
    let statements = report.statements.iter().enumerate();
    lines.extend(
        statements.map(|(index, statement)| {
            row(if index == 0 { "schema" } else { "" }, "", &statement.to_string())
        }),
    );
    if !report.settings.is_empty() {
        lines.push(row("settings", "", &format!("changed: {}", report.settings.join(", "))));
    }
    if let Some(running) = service.running() {
        lines.push(format!(
            "note: deployment {} by {} runs; until it has ended, another is refused",
            running.id().short(),
            running.plan.by
        ));
    }
    let closed = report.closed_until.map(clock::date_and_time);
    lines.extend(closed.map(|next| format!("note: by `deploy_windows` none begins before {next}")));
    lines.extend(report.missing.iter().map(|program| format!("note: no {program} is running")));
    lines.extend(unresolved);
    lines
}

fn row(stage: &str, host: &str, what: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!("{host}: ") };
    format!("  {stage:<8}  {host}{what}")
}

/// What a stage would do, on each host where it has hosts.
fn what(stage: Stage, plan: &Plan, pending: &[String], before: Option<&str>) -> String {
    let release = &plan.release;
    let Settings { replicas, canary, soak, timeouts, roles, models, sidecars, repository, .. } =
        &release.settings;
    let early = roles.iter().filter(|role| role.overlap);
    let late = roles.iter().filter(|role| !role.overlap);
    match stage {
        Stage::Build => {
            let own = plan.image.is_none().then_some((None, &release.source));
            let lacking = sidecars.iter().filter(|sidecar| !plan.sidecar_images.contains_key(&sidecar.name));
            let lacking = lacking.map(|sidecar| (Some(&sidecar.name), &sidecar.source));
            let named = |(sidecar, source): (Option<&SidecarName>, &Source)| {
                sidecar.map(|name| format!("{name}: ")).unwrap_or_default() + &making(source)
            };
            own.into_iter().chain(lacking).map(named).collect::<Vec<_>>().join("; ")
        }
        Stage::Ship => {
            let through = |repository: &Repository| format!(", through {}", repository.name());
            let through = repository.as_ref().map(through).unwrap_or_default();
            let model = |model: &Model| format!("; of {} {}", model.name, model.version.short());
            let models: String = models.iter().map(model).collect();
            let images = if sidecars.is_empty() { "image" } else { "images" };
            format!("what the host lacks of the {images}{through}{models}")
        }
        Stage::Expand if pending.is_empty() => "no migration is new".to_owned(),
        Stage::Expand => format!("new migrations: {}", pending.join(", ")),
        Stage::Backfill => {
            let before = release.backfills().filter(|file| file.before_switch);
            let titles: Vec<String> = before.map(MigrationFile::title).collect();
            format!("rows are brought over: {}; up to {}", titles.join(", "), timeouts.backfill)
        }
        Stage::Boot => {
            let new = if *replicas == 1 { "replica" } else { "replicas" };
            let jobs: String = early.map(|role| format!(", and {}", some_of(role))).collect();
            let beside = |sidecar: &Sidecar| {
                let shared = match sidecar.per {
                    Per::Service => ", unless it is there",
                    Per::Release => "",
                };
                format!("; {} of {}{shared}", sidecar.replicas, sidecar.name)
            };
            let sidecars: String = sidecars.iter().map(beside).collect();
            format!("{replicas} new {new} beside the old{jobs}{sidecars}")
        }
        Stage::Probe => probing(&release.settings),
        Stage::Canary => canary.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", then "),
        Stage::Switch => before.map_or_else(
            || format!("traffic to {}", release.version),
            |old| format!("traffic {old} → {}", release.version),
        ),
        Stage::Soak => {
            let (whole, tenth) = (soak.max_errors_per_mille / 10, soak.max_errors_per_mille % 10);
            format!("watched for {}; taken back above {whole}.{tenth} % server errors", soak.time)
        }
        Stage::Retire => {
            let jobs: String = late.map(|role| format!("; then {} start", some_of(role))).collect();
            retirement(plan, before) + &jobs
        }
        Stage::Cool | Stage::Contract | Stage::Restore | Stage::Discard => String::new(),
    }
}

/// What an image is made of.
fn making(source: &Source) -> String {
    match source {
        Source::Context(context) => format!(
            "an image from {} and a context of digest {}",
            context.recipe.dockerfile,
            context.archive.short()
        ),
        Source::Git(git) => {
            let commit = git.commit.as_deref().map_or_else(|| git.reference.clone(), version::short);
            format!("an image from {} in commit {commit} of {}", git.recipe.dockerfile, git.url)
        }
        Source::Image(image) | Source::Private(PrivateImage { image, .. }) => {
            format!("nothing to build: the image {image} is taken as it is")
        }
    }
}

/// What the new replicas are asked, in its order.
fn probing(settings: &Settings) -> String {
    let Settings { port, readiness, probes, timeouts, .. } = settings;
    let words = |spec: &ProbeSpec| match &spec.check {
        Check::Http(http) => format!("{http} {}", spec.check.wanted()),
        other => format!("{} {}", other.question(*port), other.wanted()),
    };
    let startup = probes.startup.as_ref().map(|spec| words(spec) + ", then ").unwrap_or_default();
    let inference = probes.inference.as_ref().map(|spec| {
        let within = spec.p95.map(|p95| format!(", {p95} at p95")).unwrap_or_default();
        format!(", then {} calls of {} go well{within}", spec.warm_up + spec.calls, spec.request)
    });
    let inference = inference.unwrap_or_default();
    format!("{startup}{}{inference} within {}", words(readiness), timeouts.ready)
}

/// The replicas of a role that gets no traffic.
fn some_of(role: &Role) -> String {
    let hosts: Vec<&str> = role.hosts.iter().map(HostName::as_str).collect();
    let on = if hosts.is_empty() { String::new() } else { format!(" (on {})", hosts.join(", ")) };
    format!("{} of {}{on}", role.replicas, role.name)
}

/// What becomes of the release before.
fn retirement(plan: &Plan, before: Option<&str>) -> String {
    let Settings { warm, timeouts, retain, .. } = &plan.release.settings;
    match before {
        Some(old) if !warm.is_zero() => {
            format!("{old} stays warm for {warm}: back to it is a switch; {retain} releases are kept")
        }
        Some(old) => {
            format!(
                "{old} stops once drained (at most {}); {retain} releases are kept",
                timeouts.longest_drain()
            )
        }
        None => format!("nothing to stop; {retain} releases are kept"),
    }
}
