//! The section `accessories`: what the service needs beside it and no deployment touches, such as its database.

use std::collections::BTreeMap;

use super::builder;
use super::check::{command, env};
use super::container::container;
use super::error::{Place, Problem, Problems};
use super::node::Node;
use super::option::{placed_file, published_port};
use super::raw::{Host, Variable, split};
use super::resources::resources;
use super::section::{Section, scalar};
use super::target::ImageSource;
use super::units::span;
use crate::{
    Accessory, AccessoryName, Container, HostName, PlacedFile, PublishedPort, RegistryLogin, Resources, Role,
    Sidecar, Span,
};

/// Between the stop signal and the kill of an accessory unless the file says: a database ends its transactions.
const STOP: Span = Span(std::time::Duration::from_secs(60));

/// An accessory as it stands in the file.
#[derive(Clone)]
pub(super) struct RawAccessory {
    place: Place,
    source: Option<ImageSource>,
    hosts: Option<Vec<(Place, HostName)>>,
    publish: Option<Vec<PublishedPort>>,
    command: Vec<String>,
    env: BTreeMap<String, Variable>,
    files: Option<Vec<PlacedFile>>,
    resources: Resources,
    container: Option<Container>,
    stop: Option<Span>,
}

/// Accessories by name.
pub(super) type Accessories = BTreeMap<AccessoryName, RawAccessory>;

/// Reads the section.
pub(super) fn accessories(section: &Section<'_>, problems: &mut Problems) -> Accessories {
    section.by_name(accessory, problems)
}

fn accessory(mut section: Section<'_>, place: Place, problems: &mut Problems) -> RawAccessory {
    let registry = section.node("registry").map(|node| node.place);
    let has_image = section.node("image").is_some();
    if let Some(builder) = section.node("builder") {
        let built = Problem::new(&section.path_of("builder"), builder.place, "an accessory isn't built");
        problems.add(built.hint("name an image that is in a registry: `image: postgres:17`"));
    }
    let (source, repository) = builder::source(&mut section, problems);
    if repository.is_some() {
        let path = section.path_of("registry.repository");
        let needless = Problem::new(&path, registry, "the host pulls the image from where it is");
        problems.add(
            needless
                .hint("leave it out; `server`, `username` and `password` say how the registry is entered"),
        );
    }
    let accessory = RawAccessory {
        place,
        source: has_image.then_some(source),
        hosts: section.list("hosts", problems).map(|items| {
            let host = |(path, item): (String, &Node)| {
                Some((item.place, scalar(&path, item, str::parse, problems)?))
            };
            items.into_iter().filter_map(host).collect()
        }),
        publish: section.scalars("publish", published_port, problems),
        command: command(&mut section, problems),
        env: section.section("env", problems).map(|section| env(section, problems)).unwrap_or_default(),
        files: section.scalars("files", placed_file, problems),
        resources: section
            .section("resources", problems)
            .map(|section| resources(section, problems))
            .unwrap_or_default(),
        container: own_container(&mut section, problems),
        stop: section.value("stop_timeout", span, problems),
    };
    section.done(problems);
    accessory
}

/// Its container, without what is for versions that follow each other.
fn own_container(section: &mut Section<'_>, problems: &mut Problems) -> Option<Container> {
    let part = section.section("container", problems)?;
    if let Some(entry) = part.entries.iter().find(|entry| entry.key == "assets") {
        let path = part.path_of("assets");
        problems.add(Problem::new(&path, entry.place, "nobody asks an accessory for them"));
    }
    Some(container(part, problems))
}

/// Those of a destination over those of the file, key by key.
pub(super) fn over(own: Accessories, under: Accessories) -> Accessories {
    let mut all = under;
    for (name, accessory) in own {
        let laid = match all.remove(&name) {
            Some(under) => accessory.over(under),
            None => accessory,
        };
        all.insert(name, laid);
    }
    all
}

impl RawAccessory {
    fn over(self, under: Self) -> Self {
        let mut env = under.env;
        env.extend(self.env);
        Self {
            place: self.place,
            source: self.source.or(under.source),
            hosts: self.hosts.or(under.hosts),
            publish: self.publish.or(under.publish),
            command: if self.command.is_empty() { under.command } else { self.command },
            env,
            files: self.files.or(under.files),
            resources: self.resources.over(under.resources),
            container: self.container.or(under.container),
            stop: self.stop.or(under.stop),
        }
    }
}

/// What else a destination has.
pub(super) struct Declared<'a> {
    pub(super) hosts: &'a [Host],
    pub(super) roles: &'a [Role],
    pub(super) sidecars: &'a [Sidecar<ImageSource>],
    /// How the service's own registry is entered.
    pub(super) registry: Option<&'a RegistryLogin>,
}

/// What a destination makes of them.
pub(super) fn resolved(
    accessories: Accessories,
    declared: &Declared<'_>,
    destination: &str,
    problems: &mut Problems,
) -> Vec<Accessory> {
    let each = accessories.into_iter();
    each.filter_map(|(name, accessory)| one(name, accessory, declared, destination, problems)).collect()
}

fn one(
    name: AccessoryName,
    accessory: RawAccessory,
    declared: &Declared<'_>,
    destination: &str,
    problems: &mut Problems,
) -> Option<Accessory> {
    let path = format!("accessories.{name}");
    let place = accessory.place;
    let is_taken = |other: &str| other == name.as_str();
    if declared.roles.iter().any(|role| is_taken(role.name.as_str())) {
        problems.add(Problem::new(&path, place, "a role has that name"));
    }
    if declared.sidecars.iter().any(|sidecar| is_taken(sidecar.name.as_str())) {
        problems.add(Problem::new(&path, place, "a sidecar has that name"));
    }
    let hosts = hosts(&path, place, accessory.hosts, declared, destination, problems);
    let container = accessory.container.unwrap_or_default();
    let files = accessory.files.unwrap_or_default();
    if container.read_only && !files.is_empty() {
        let message = "nothing can be put into a container whose root file system is read-only";
        let refused = Problem::new(&format!("{path}.files"), place, message);
        problems.add(refused.hint("leave out `files`, or `container.read_only`"));
    }
    if accessory.source.is_none() {
        let message = format!("no image is given for destination '{destination}'");
        problems.add(Problem::new(&path, place, message).hint("say what runs: `image: postgres:17`"));
    }
    let source = accessory.source?.or_with(declared.registry);
    let (image, registry) = match source {
        ImageSource::Existing(image) => (image, None),
        ImageSource::Private(private) => (private.image, Some(private.registry)),
        // Refused already.
        ImageSource::Builder { .. } => return None,
    };
    let (env, secrets) = split(accessory.env);
    Some(Accessory {
        name,
        hosts,
        image,
        registry,
        publish: accessory.publish.unwrap_or_default(),
        command: accessory.command,
        env,
        secrets,
        files,
        resources: accessory.resources,
        container,
        stop: accessory.stop.unwrap_or(STOP),
    })
}

/// The hosts that it runs on: those that are named, each of which is one of the destination; the only one needs no name.
fn hosts(
    path: &str,
    place: Place,
    named: Option<Vec<(Place, HostName)>>,
    declared: &Declared<'_>,
    destination: &str,
    problems: &mut Problems,
) -> Vec<HostName> {
    let known = || declared.hosts.iter().map(|host| &host.name);
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        // The first of several might be another one tomorrow, with nothing on it.
        if declared.hosts.len() > 1 {
            let count = declared.hosts.len();
            let message =
                format!("it isn't said on which of the {count} hosts of destination '{destination}' it runs");
            let example = known().next().map_or("", |host| host.as_str());
            let missing = Problem::new(path, Some(place), message);
            problems.add(missing.hint(format!("say where: `hosts: [{example}]`, there or here")));
        }
        return known().cloned().collect();
    };
    for (at, host) in &named {
        if !known().any(|known| known == host) {
            let path = format!("{path}.hosts");
            let message = format!("{host} is not a host of destination '{destination}'");
            problems.add(Problem::new(&path, *at, message).hint("list it under `hosts` of the destination"));
        }
    }
    known().filter(|known| named.iter().any(|(_, host)| host == *known)).cloned().collect()
}
