//! What is deployed: one service on 1 to 4 hosts, releases that differ in what matters to the order of things.

use std::collections::BTreeMap;

use cutover_core::{
    Canary, CanaryStep, Container, ContractTerms, Decision, DeploymentId, Digest, Hold, HostName, HostSpec,
    Intent, KeptRelease, MigrationFile, PROTOCOL, Phase, Plan, ProbeSpec, Probes, Release, Resources,
    Routing, Sealed, Service, ServiceKey, Settings, Soak, Source, Span, Stage, Timeouts, When,
};

use crate::chance::Chance;
use crate::world::World;

/// The service.
#[allow(clippy::expect_used, reason = "the names are constants")]
pub(crate) fn key() -> ServiceKey {
    ServiceKey {
        destination: "production".parse().expect("a destination's name"),
        service: "app".parse().expect("a service's name"),
    }
}

#[allow(clippy::expect_used, reason = "the names are constants")]
pub(crate) fn host_name(number: usize) -> HostName {
    format!("h{number}").parse().expect("a host's name")
}

/// A deployment of a release that nobody has seen before. A good one has nothing that would be found in any stage.
pub(crate) fn deploy(world: &World, by: &str, good: bool) -> Plan {
    let number = next(world);
    let mut release = world.draw(|chance, _| release(number, chance));
    release.migrations = migrations(world, number, good);
    let plan = plan(world, by, number, release, None);
    let stages =
        [Stage::Build, Stage::Boot, Stage::Probe, Stage::Canary, Stage::Soak, Stage::Soak, Stage::Soak];
    let bad = world.draw(|chance, odds| chance.one_in(odds.bad).then(|| chance.pick(&stages)).flatten());
    if let Some(stage) = bad.filter(|_| !good) {
        world.bad.borrow_mut().insert(plan.deployment.clone(), stage);
    }
    plan
}

/// A deployment of a release that is kept: to its replicas, where they are warm.
pub(crate) fn rollback(world: &World, by: &str, service: &Service, kept: &KeptRelease) -> Plan {
    let number = next(world);
    let plan = plan(world, by, number, kept.release.clone(), Some(kept.image.clone()));
    let cold = Plan { intent: Intent::Rollback, ..plan };
    match service.warm_until(kept) {
        Some(_) => Plan { warm: kept.replicas.clone(), stages: Plan::WARM.to_vec(), ..cold },
        None => cold,
    }
}

/// A replay, from a stage on or from where it failed; what was wrong with the release may be mended by then.
pub(crate) fn replay(world: &World, by: &str, deployment: &cutover_core::DeploymentId) -> Decision {
    if world.draw(|chance, _| chance.one_in(2)) {
        world.bad.borrow_mut().remove(deployment);
    }
    let from = world.draw(|chance, _| {
        let stages = [Stage::Build, Stage::Ship, Stage::Boot, Stage::Switch];
        if chance.one_in(3) { chance.pick(&stages) } else { None }
    });
    Decision::Replayed { deployment: deployment.clone(), by: by.to_owned(), from }
}

fn next(world: &World) -> u32 {
    world.plans.set(world.plans.get() + 1);
    world.plans.get()
}

#[allow(clippy::expect_used, reason = "26 digits are an id")]
fn plan(world: &World, by: &str, number: u32, release: Release, image: Option<Digest>) -> Plan {
    let deployment: DeploymentId = format!("{number:026}").parse().expect("a deployment's id");
    world.database.borrow_mut().note(&deployment, &release);
    let hosts = world.hosts.borrow();
    let specs = hosts.iter().map(|host| HostSpec {
        name: host.name.clone(),
        port: 22,
        user: "root".into(),
        host_key: None,
    });
    Plan {
        protocol: PROTOCOL,
        deployment,
        key: key(),
        by: by.to_owned(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, image.as_ref(), &cutover_core::SidecarImages::new()),
        release,
        image,
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: specs.collect(),
    }
}

/// The migrations that a release is made with: all that were written before, now and then but for the last one, as on an older
/// branch; and every fourth time one of its own.
fn migrations(world: &World, number: u32, good: bool) -> Vec<MigrationFile> {
    let mut database = world.database.borrow_mut();
    let (is_older, is_new, has_backfill, before_switch, has_contract) = world.draw(|chance, _| {
        (chance.one_in(6), chance.one_in(3), chance.one_in(2), chance.one_in(3), !chance.one_in(3))
    });
    let version = number.to_string();
    let part = |phase| MigrationFile::of_phase(phase, version.clone(), "add", Digest::of(b"sql"));
    if is_new {
        let backfill = has_backfill.then(|| MigrationFile { before_switch, ..part(Phase::Backfill) });
        let contract = has_contract.then(|| part(Phase::Contract));
        database.written.extend([part(Phase::Expand)].into_iter().chain(backfill).chain(contract));
    }
    let last = database.written.last().map(|file| file.version.clone());
    let left_out = last.filter(|_| is_older && !is_new && !good);
    database.written.iter().filter(|file| Some(&file.version) != left_out.as_ref()).cloned().collect()
}

fn release(number: u32, chance: &mut Chance) -> Release {
    let soak = chance.pick(&[0, 2_000, 6_000]).unwrap_or_default();
    let replicas = 1 + u32::from(chance.one_in(3));
    // An hour is longer than any day: those are never to be stopped.
    let warm = chance.pick(&[0, 0, 5, 60, 3_600]).unwrap_or_default();
    let retain = chance.pick(&[0, 1, 2, 2]).unwrap_or_default();
    let after = Span::seconds(chance.pick(&[0, 0, 20, 3_600]).unwrap_or_default());
    let step = |weight| CanaryStep { weight, mirror: 0, hosts: None, hold: Hold::For(Span::seconds(1)) };
    let steps = chance.pick(&[vec![], vec![], vec![step(50)], vec![step(50), step(250)]]).unwrap_or_default();
    let canary = Canary { steps, ..Canary::default() };
    let contract = ContractTerms { after, when: chance.pick(&When::ALL).unwrap_or_default() };
    let settings = Settings {
        port: 3000,
        replicas,
        command: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec::http("/up"),
        probes: Probes::default(),
        proxy: Routing::default(),
        canary,
        soak: Soak { time: Span::millis(soak), max_errors_per_mille: 50, min_requests: 20 },
        timeouts: Timeouts::default(),
        database: None,
        rehearsal: None,
        via: cutover_core::Via::default(),
        engine: cutover_core::Engine::default(),
        rails: None,
        contract,
        locks: cutover_core::LockTerms::default(),
        backfill: cutover_core::BackfillTerms::default(),
        roles: Vec::new(),
        models: Vec::new(),
        sidecars: Vec::new(),
        repository: None,
        warm: Span::seconds(warm),
        retain,
    };
    Release {
        version: format!("v{number}"),
        source: Source::Image(format!("app:{number}")),
        settings,
        migrations: Vec::new(),
    }
}
