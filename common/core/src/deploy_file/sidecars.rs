//! The section `sidecars`: services of their own beside the replicas of each host, which alone reach them.

use std::collections::BTreeMap;

use super::builder;
use super::check::{command, env};
use super::container::container;
use super::error::{Place, Problem, Problems};
use super::models::WantedModel;
use super::policy::Policy;
use super::probe;
use super::raw::{Variable, split};
use super::resources::resources;
use super::section::{Section, scalar};
use super::target::ImageSource;
use super::units::{flag, port_number, span, whole};
use crate::{
    Check, Container, ModelName, Per, ProbeSpec, Probes, RegistryLogin, Resources, Role, Sidecar,
    SidecarName, Span,
};

/// Between the stop signal and the kill of a sidecar unless the file says.
const STOP: Span = Span(std::time::Duration::from_secs(10));

/// A sidecar as it stands in the file.
#[derive(Clone)]
pub(super) struct RawSidecar {
    place: Place,
    source: Option<ImageSource>,
    port: Option<u16>,
    replicas: Option<u32>,
    per: Option<Per>,
    command: Vec<String>,
    env: BTreeMap<String, Variable>,
    models: Option<Vec<(Place, ModelName)>>,
    resources: Resources,
    container: Option<Container>,
    egress: Option<bool>,
    readiness: Option<ProbeSpec>,
    probes: Probes,
    stop: Option<Span>,
}

/// Sidecars by name.
pub(super) type Sidecars = BTreeMap<SidecarName, RawSidecar>;

/// Reads the section.
pub(super) fn sidecars(section: &Section<'_>, problems: &mut Problems) -> Sidecars {
    section.by_name(sidecar, problems)
}

fn sidecar(mut section: Section<'_>, place: Place, problems: &mut Problems) -> RawSidecar {
    let has_source = section.node("image").is_some() || section.node("builder").is_some();
    let registry = section.node("registry").map(|node| node.place);
    let (source, repository) = builder::source(&mut section, problems);
    if repository.is_some() {
        let path = section.path_of("registry.repository");
        let needless = Problem::new(&path, registry, "the images of a service go one way to the hosts");
        problems.add(needless.hint("`registry.repository` at the top is that of its sidecars too"));
    }
    let sidecar = RawSidecar {
        place,
        source: has_source.then_some(source),
        port: section.value("port", port_number, problems),
        replicas: section.value("replicas", whole(1..=100), problems),
        per: section.value("per", per, problems),
        command: command(&mut section, problems),
        env: section.section("env", problems).map(|section| env(section, problems)).unwrap_or_default(),
        models: section.list("models", problems).map(|items| {
            let items = items.into_iter();
            items
                .filter_map(|(path, item)| Some((item.place, scalar(&path, item, str::parse, problems)?)))
                .collect()
        }),
        resources: section
            .section("resources", problems)
            .map(|section| resources(section, problems))
            .unwrap_or_default(),
        container: own_container(&mut section, problems),
        egress: section.value("egress", flag, problems),
        readiness: section
            .node("readiness_probe")
            .is_some()
            .then(|| probe::readiness(&mut section, problems)),
        probes: probe::others(&mut section, problems),
        stop: section.value("stop_timeout", span, problems),
    };
    section.done(problems);
    sidecar
}

/// Its container, without what would lead into it or out of it.
fn own_container(section: &mut Section<'_>, problems: &mut Problems) -> Option<Container> {
    let part = section.section("container", problems)?;
    let mut refuse = |key: &str, is_there: bool, why: &str| {
        if is_there {
            let place = part.entries.iter().find(|entry| entry.key == key).map(|entry| entry.place);
            problems.add(Problem::new(&part.path_of(key), place, why));
        }
    };
    let has = |key: &str| part.entries.iter().any(|entry| entry.key == key);
    refuse("networks", has("networks"), "a sidecar is on the network of its service alone; see `egress`");
    refuse("assets", has("assets"), "nobody asks a sidecar for them");
    Some(container(part, problems))
}

fn per(text: &str) -> Result<Per, String> {
    match text {
        "service" => Ok(Per::Service),
        "release" => Ok(Per::Release),
        _ => Err(format!("'{text}' is neither service nor release")),
    }
}

/// Those of a destination over those of the file, key by key.
pub(super) fn over(own: Sidecars, under: Sidecars) -> Sidecars {
    let mut all = under;
    for (name, sidecar) in own {
        let laid = match all.remove(&name) {
            Some(under) => sidecar.over(under),
            None => sidecar,
        };
        all.insert(name, laid);
    }
    all
}

impl RawSidecar {
    fn over(self, under: Self) -> Self {
        let mut env = under.env;
        env.extend(self.env);
        Self {
            place: self.place,
            source: self.source.or(under.source),
            port: self.port.or(under.port),
            replicas: self.replicas.or(under.replicas),
            per: self.per.or(under.per),
            command: if self.command.is_empty() { under.command } else { self.command },
            env,
            models: self.models.or(under.models),
            resources: self.resources.over(under.resources),
            container: self.container.or(under.container),
            egress: self.egress.or(under.egress),
            readiness: self.readiness.or(under.readiness),
            probes: Probes {
                startup: self.probes.startup.or(under.probes.startup),
                liveness: self.probes.liveness.or(under.probes.liveness),
                inference: self.probes.inference.or(under.probes.inference),
            },
            stop: self.stop.or(under.stop),
        }
    }
}

/// What else the file declares.
pub(super) struct Declared<'a> {
    pub(super) models: &'a [WantedModel],
    pub(super) roles: &'a [Role],
    pub(super) policy: &'a Policy,
    /// How the service's own registry is entered.
    pub(super) registry: Option<&'a RegistryLogin>,
}

/// What a destination makes of them.
pub(super) fn resolved(
    sidecars: Sidecars,
    declared: &Declared<'_>,
    destination: &str,
    problems: &mut Problems,
) -> Vec<Sidecar<ImageSource>> {
    let each = sidecars.into_iter();
    each.filter_map(|(name, sidecar)| one(name, sidecar, declared, destination, problems)).collect()
}

fn one(
    name: SidecarName,
    sidecar: RawSidecar,
    declared: &Declared<'_>,
    destination: &str,
    problems: &mut Problems,
) -> Option<Sidecar<ImageSource>> {
    let path = format!("sidecars.{name}");
    let place = sidecar.place;
    if declared.roles.iter().any(|role| role.name.as_str() == name.as_str()) {
        problems.add(Problem::new(&path, place, "a role has that name"));
    }
    let mut missing = |what: &str, hint: &str| {
        let message = format!("no {what} is given for destination '{destination}'");
        problems.add(Problem::new(&path, place, message).hint(hint));
    };
    if sidecar.source.is_none() {
        missing("image", "say what it is made of: `image: …`, or `builder: {context: …}` to have it built");
    }
    if sidecar.port.is_none() {
        missing("port", "say where it listens: `port: 8080`; replicas reach it by its name and that");
    }
    let models = sidecar.models.unwrap_or_default();
    for (place, model) in &models {
        if !declared.models.iter().any(|known| known.name == *model) {
            let message = format!("there is no model {model} at destination '{destination}'");
            let unknown = Problem::new(&format!("{path}.models"), *place, message);
            problems.add(unknown.hint(format!("declare it: `models: {{{model}: {{source: s3://…}}}}`")));
        }
    }
    let (env, secrets) = split(sidecar.env);
    let usual = if secrets.is_empty() { Per::Service } else { Per::Release };
    let per = sidecar.per.unwrap_or(usual);
    if per == Per::Service && !secrets.is_empty() {
        let shared = Problem::new(
            &format!("{path}.per"),
            place,
            "versions can't share a sidecar with secrets: each may have other values",
        );
        problems.add(shared.hint("leave out `per`, or write `per: release`: each version has its own"));
    }
    let mut container = sidecar.container.unwrap_or_default();
    for volume in &container.volumes {
        let mounted = declared.models.iter().filter(|model| models.iter().any(|(_, own)| *own == model.name));
        if let Some(model) = mounted.into_iter().find(|model| model.mount == volume.target) {
            let message = format!("model {} is mounted at {} already", model.name, model.mount);
            problems.add(Problem::new(&format!("{path}.container.volumes"), place, message));
        }
    }
    let key = format!("{path}.container");
    declared.policy.check(&container, &key, problems);
    container.non_root = declared.policy.non_root;
    let (whose, key) = (format!("sidecar {name}"), format!("{path}.resources"));
    declared.policy.check_limits(&whose, &key, &sidecar.resources, destination, problems);
    Some(Sidecar {
        source: sidecar.source?.or_with(declared.registry),
        name,
        port: sidecar.port?,
        replicas: sidecar.replicas.unwrap_or(1),
        per,
        command: sidecar.command,
        env,
        secrets,
        models: models.into_iter().map(|(_, model)| model).collect(),
        resources: sidecar.resources,
        container,
        egress: sidecar.egress.unwrap_or_default(),
        readiness: sidecar.readiness.unwrap_or_else(|| ProbeSpec::new(Check::Tcp { port: None })),
        probes: sidecar.probes,
        stop: sidecar.stop.unwrap_or(STOP),
    })
}
