//! From what is wanted and what is there to the plan of a deployment. Pure, but for the id.

use std::collections::BTreeSet;

use cutover_core::{
    DeploymentId, Digest, HostSpec, Intent, InvalidName, KeptRelease, MigrationFile, NeededSecret, Plan,
    Program, Release, ReplicaSet, Sealed, Service, ServiceKey, Settings, SidecarImages, Stage, Target,
    Timestamp,
};
use ulid::Ulid;

/// The plan that makes a release of the target live. The images are those that its sources are known to become.
///
/// # Errors
/// None that anybody has seen: an id that isn't one.
pub(crate) fn deploy(
    service: &Service,
    target: &Target,
    release: Release,
    (image, sidecar_images): Images,
    by: String,
) -> Result<Plan, InvalidName> {
    let mut stages = Plan::stages_for(&release, image.as_ref(), &sidecar_images);
    if !service.schema.misses_rows_of(&release) {
        stages.retain(|stage| *stage != Stage::Backfill);
    }
    if service.live().is_none() {
        // There is nothing beside which it could get a share.
        stages.retain(|stage| *stage != Stage::Canary);
    }
    Ok(Plan {
        protocol: protocol(service, &release).max(Plan::protocol_to(&target.hosts)),
        deployment: new_id()?,
        key: target.key.clone(),
        by,
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages,
        release,
        image,
        sidecar_images,
        warm: None,
        replaces: service.live().map(|live| live.id.clone()),
        hosts: target.hosts.clone(),
    })
}

/// The plan that makes a kept release live again. Nothing is built, and the schema is not changed: it was live, and what it needs is still there, but for rows that another version may have written past
/// it since.
/// There is no canary and no soak: what a bad one would bring back is what is being left. With its replicas still warm, nothing is booted
/// either.
///
/// # Errors
/// As for [`deploy`].
pub(crate) fn rollback(
    service: &Service,
    key: ServiceKey,
    hosts: Vec<HostSpec>,
    kept: &KeptRelease,
    warm: Option<ReplicaSet>,
    by: String,
) -> Result<Plan, InvalidName> {
    let image = Some(kept.image.clone());
    let mut stages = Plan::stages_for(&kept.release, image.as_ref(), &kept.sidecar_images);
    let misses_rows = service.schema.misses_rows_of(&kept.release);
    stages.retain(|stage| match stage {
        Stage::Expand | Stage::Canary | Stage::Soak => false,
        Stage::Backfill => misses_rows,
        _ => true,
    });
    if warm.is_some() {
        stages = Plan::WARM.to_vec();
    }
    Ok(Plan {
        protocol: protocol(service, &kept.release).max(Plan::protocol_to(&hosts)),
        deployment: new_id()?,
        key,
        by,
        untimely: false,
        sealed: service
            .live()
            .map_or_else(|| kept.sealed.clone(), |live| kept.sealed.renewed_by(&live.sealed)),
        intent: Intent::Rollback,
        release: kept.release.clone(),
        image,
        sidecar_images: kept.sidecar_images.clone(),
        warm,
        replaces: service.live().map(|live| live.id.clone()),
        hosts,
        stages,
    })
}

/// The plan that makes the containers of what is live anew, of the same image and with the same settings, so that they have what its
/// references to secrets give now. Nothing is built, sent or migrated. It is watched as a new version is: a value may be wrong.
///
/// # Errors
/// As for [`deploy`].
pub(crate) fn refresh(
    service: &Service,
    key: ServiceKey,
    hosts: Vec<HostSpec>,
    live: &KeptRelease,
    by: String,
) -> Result<Plan, InvalidName> {
    let plan = rollback(service, key, hosts, live, None, by)?;
    let mut stages = Plan::stages_for(&live.release, plan.image.as_ref(), &plan.sidecar_images);
    stages.retain(|stage| {
        matches!(stage, Stage::Boot | Stage::Probe | Stage::Switch | Stage::Soak | Stage::Retire)
    });
    let protocol = plan.protocol.max(Plan::protocol_without_ship());
    Ok(Plan { intent: Intent::Deploy, stages, protocol, sealed: Sealed::new(), ..plan })
}

/// What a worker must know to replace what is live by `release`: all that either of them says, and whatever was kept.
fn protocol(service: &Service, release: &Release) -> u32 {
    let others = service.kept.iter().chain(service.live()).map(|kept| &kept.release);
    others.chain([release]).map(Plan::protocol_for).max().unwrap_or_default()
}

/// The replicas of a kept release that are still warm, where each of the hosts has some.
pub(crate) fn warm<'a>(
    service: &Service,
    kept: &'a KeptRelease,
    hosts: &[HostSpec],
) -> Option<&'a ReplicaSet> {
    service.warm_until(kept)?;
    if service.schema.misses_rows_of(&kept.release) {
        return None;
    }
    let has_some = |host: &HostSpec, warm: &ReplicaSet| {
        warm.hosts.get(&host.name).is_some_and(|replicas| !replicas.is_empty())
    };
    kept.replicas.as_ref().filter(|warm| hosts.iter().all(|host| has_some(host, warm)))
}

/// What the images of a plan are made with, where one is made.
pub(crate) fn built_with(plan: &Plan) -> Vec<NeededSecret<'_>> {
    if plan.stages.contains(&Stage::Build) { plan.release.built_with() } else { Vec::new() }
}

/// The image of a service, and those of its sidecars, as far as they are known.
pub(crate) type Images = (Option<Digest>, SidecarImages);

/// The images that the sources of a release are known to become without a build.
pub(crate) fn known_images(service: &Service, release: &Release) -> Images {
    (service.built(release).cloned(), service.built_sidecars(release))
}

/// Whether just this release has the traffic, so that there is nothing to do.
pub(crate) fn is_live(service: &Service, release: &Release) -> bool {
    release.is_pinned() && service.live().is_some_and(|live| live.id == release.id())
}

/// The migrations of a release that the live one didn't have.
pub(crate) fn pending<'a>(service: &Service, release: &'a Release) -> Vec<&'a MigrationFile> {
    let applied = applied(service);
    let is_applied = |file: &&MigrationFile| match &release.settings.rails {
        None => applied.contains(file),
        // It goes by the version alone.
        Some(_) => applied.iter().any(|applied| applied.version == file.version),
    };
    release.migrations.iter().filter(|file| !is_applied(file)).collect()
}

/// The migrations of Rails that were another text in the live release. Rails doesn't run them again.
pub(crate) fn rewritten<'a>(service: &Service, release: &'a Release) -> Vec<&'a MigrationFile> {
    let applied = applied(service);
    let was_other = |file: &&MigrationFile| {
        applied.iter().any(|applied| applied.version == file.version && applied.content != file.content)
    };
    let files = release.migrations.iter().filter(|_| release.settings.rails.is_some());
    files.filter(was_other).collect()
}

fn applied(service: &Service) -> &[MigrationFile] {
    service.live().map(|live| live.release.migrations.as_slice()).unwrap_or_default()
}

/// The programs that a plan needs, in the order of the pipeline, those included that would take it back.
pub(crate) fn programs(plan: &Plan) -> Vec<Program> {
    let back = [Stage::Restore, Stage::Discard];
    let programs: BTreeSet<Program> = plan.stages.iter().copied().chain(back).map(Stage::program).collect();
    programs.into_iter().collect()
}

/// The settings that differ, by their names in the deploy file; of the environment, the variables.
pub(crate) fn changed_settings(old: &Settings, new: &Settings) -> Vec<String> {
    let differences = [
        ("port", old.port != new.port),
        ("replicas", old.replicas != new.replicas),
        ("command", old.command != new.command),
        ("resources", old.resources != new.resources),
        ("container", old.container != new.container),
        ("readiness_probe", old.readiness != new.readiness),
        ("startup_probe", old.probes.startup != new.probes.startup),
        ("liveness_probe", old.probes.liveness != new.probes.liveness),
        ("inference_probe", old.probes.inference != new.probes.inference),
        ("proxy", old.proxy != new.proxy),
        ("roles", old.roles != new.roles),
        ("models", old.models != new.models),
        ("sidecars", old.sidecars != new.sidecars),
        ("soak", old.soak != new.soak),
        ("warm", old.warm != new.warm),
        ("timeouts", old.timeouts != new.timeouts),
        ("migrations.database", old.database != new.database),
        ("migrations.engine", old.engine != new.engine),
        ("migrations.contract", old.contract != new.contract),
        ("retain", old.retain != new.retain),
    ];
    let named = differences.into_iter().filter(|(_, differ)| *differ).map(|(name, _)| name.to_owned());
    let variables: BTreeSet<&String> = [&old.env, &new.env]
        .into_iter()
        .flat_map(|env| env.keys())
        .chain(old.secrets.keys())
        .chain(new.secrets.keys())
        .collect();
    let differ = |name: &String| {
        old.env.get(name) != new.env.get(name) || old.secrets.get(name) != new.secrets.get(name)
    };
    named.chain(variables.into_iter().filter(|name| differ(name)).map(|name| format!("env {name}"))).collect()
}

/// The id of the deployment that a request leads to, which was stored at a time: always the same, and in the order of time among others.
///
/// # Errors
/// None that anybody has seen: an id that isn't one.
pub(crate) fn id_of(at: Timestamp, request: &str) -> Result<DeploymentId, InvalidName> {
    let digest = Digest::of(request.as_bytes());
    let random = u128::from_str_radix(digest.hex().split_at(20).0, 16).unwrap_or_default();
    Ulid::from_parts(at.0, random).to_string().to_lowercase().parse()
}

fn new_id() -> Result<DeploymentId, InvalidName> {
    Ulid::generate().to_string().to_lowercase().parse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
