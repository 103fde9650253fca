//! From the tree to values. Every key is read here, each problem noted, and the reading goes on.

use std::collections::BTreeMap;

use super::accessories::accessories;
use super::builder;
use super::canary::canary;
use super::container::container;
use super::error::{Problem, Problems};
use super::hooks::hooks;
use super::interpolation::Interpolation;
use super::migrations::migrations;
use super::models::models;
use super::node::{Entry, Node, Value};
use super::policy::policy;
use super::probe;
use super::raw::{Destination, Host, Layer, Raw, Soak, Ssh, Timeouts, Variable};
use super::resources::resources;
use super::roles::roles;
use super::routing::routing;
use super::section::{Section, scalar};
use super::sidecars::sidecars;
use super::text::{filled, user, variable_name, words};
use super::units::{limit, percent, port_number, span, whole};
use crate::{Container, DeployWindow, Reference};

/// The whole file. None where what nothing else makes sense without is missing.
pub(super) fn file(root: &Node, problems: &mut Problems) -> Option<Raw> {
    let Value::Map(entries) = &root.value else { return None };
    let own: Vec<Entry> = entries.iter().filter(|entry| !entry.key.starts_with("x-")).cloned().collect();
    let root = Node { place: root.place, value: Value::Map(own) };
    let mut section = Section::of(String::new(), &root, problems)?;
    let service = section.required("service", str::parse, problems);
    let (image, repository) = builder::source(&mut section, problems);
    let port = section.value("port", port_number, problems);
    let command = command(&mut section, problems);
    let readiness = probe::readiness(&mut section, problems);
    let probes = probe::others(&mut section, problems);
    let container = section
        .section("container", problems)
        .map(|section| container(section, problems))
        .unwrap_or_default();
    let policy =
        section.section("policy", problems).map(|section| policy(section, problems)).unwrap_or_default();
    policy.check(&container, "container", problems);
    let container = Container { non_root: policy.non_root, ..container };
    let retain = section.value("retain", whole(0..=100), problems);
    let base = layer(&mut section, problems);
    let destinations = destinations(&mut section, problems);
    section.done(problems);
    let service = service?;
    Some(Raw {
        service,
        image,
        repository,
        port,
        command,
        readiness,
        probes,
        container,
        policy,
        retain,
        base,
        destinations,
    })
}

pub(super) fn command(file: &mut Section<'_>, problems: &mut Problems) -> Vec<String> {
    command_at("command", file, problems).unwrap_or_default()
}

/// The words of the command at `key`: a list of them, or a text that is split at its spaces.
pub(super) fn command_at(
    key: &'static str,
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let node = section.node(key)?;
    if matches!(node.value, Value::List(_)) {
        section.scalars(key, filled, problems)
    } else {
        scalar(&section.path_of(key), node, words, problems)
    }
}

fn destinations(file: &mut Section<'_>, problems: &mut Problems) -> Vec<Destination> {
    let section = file.section("destinations", problems);
    if section.as_ref().map_or(file.lacks("destinations"), |section| section.entries.is_empty()) {
        let none = Problem::new("destinations", section.and_then(|section| section.place), "missing");
        problems.add(none.hint("say where to: `destinations: {production: {hosts: [<address>]}}`"));
        return Vec::new();
    }
    let Some(section) = section else { return Vec::new() };
    section
        .entries
        .iter()
        .filter_map(|entry| destination(section.path_of(&entry.key), entry, problems))
        .collect()
}

fn destination(path: String, entry: &Entry, problems: &mut Problems) -> Option<Destination> {
    let name = match entry.key.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            problems.add(Problem::new(&path, entry.place, format!("{error}")));
            None
        }
    };
    let mut section = Section::of(path, &entry.node, problems)?;
    section.place = Some(entry.place);
    let hosts = hosts(&mut section, problems);
    let layer = layer(&mut section, problems);
    section.done(problems);
    Some(Destination { name: name?, hosts, layer })
}

/// The hosts of a destination, under the name that is used here or the one that Kamal has for it.
fn hosts(destination: &mut Section<'_>, problems: &mut Problems) -> Vec<Host> {
    let (usual, kamal) = (destination.node("hosts"), destination.node("servers"));
    if let (Some(_), Some(second)) = (usual, kamal) {
        let path = destination.path_of("servers");
        problems
            .add(Problem::new(&path, second.place, "`hosts` is given too").hint("list them all in `hosts`"));
    }
    let items = destination.list(if kamal.is_some() { "servers" } else { "hosts" }, problems);
    if items.as_ref().map_or(kamal.is_none() && destination.lacks("hosts"), Vec::is_empty) {
        let none = Problem::new(&destination.path_of("hosts"), destination.place, "missing");
        problems.add(none.hint("say where it runs: `hosts: [<address>]`"));
    }
    let mut hosts: Vec<Host> = Vec::new();
    for (path, item) in items.unwrap_or_default() {
        let Some(host) = host(&path, item, problems) else { continue };
        if hosts.iter().any(|other| other.name == host.name) {
            problems.add(Problem::new(&path, item.place, format!("host {} is named twice", host.name)));
        }
        hosts.push(host);
    }
    hosts
}

fn host(path: &str, node: &Node, problems: &mut Problems) -> Option<Host> {
    if !matches!(node.value, Value::Map(_)) {
        let name = scalar(path, node, str::parse, problems)?;
        return Some(Host { name, ssh: Ssh::default(), key: None });
    }
    let mut section = Section::of(path.to_owned(), node, problems)?;
    let name = section.required("address", str::parse, problems);
    let ssh = reached(&mut section, problems);
    let key = section.value("host_key", str::parse, problems);
    section.done(problems);
    Some(Host { name: name?, ssh, key })
}

fn reached(section: &mut Section<'_>, problems: &mut Problems) -> Ssh {
    Ssh { user: section.value("user", user, problems), port: section.value("port", port_number, problems) }
}

/// What may stand at the top and again in a destination.
fn layer(section: &mut Section<'_>, problems: &mut Problems) -> Layer {
    Layer {
        replicas: section.value("replicas", whole(1..=1000), problems),
        env: section.section("env", problems).map(|section| env(section, problems)).unwrap_or_default(),
        proxy: section
            .section("proxy", problems)
            .map(|section| routing(section, problems))
            .unwrap_or_default(),
        resources: section
            .section("resources", problems)
            .map(|section| resources(section, problems))
            .unwrap_or_default(),
        canary: section
            .section("canary", problems)
            .map(|section| canary(section, problems))
            .unwrap_or_default(),
        soak: section.section("soak", problems).map(|section| soak(section, problems)).unwrap_or_default(),
        warm: section.value("warm", span, problems),
        windows: section.list("deploy_windows", problems).map(|items| windows(items, problems)),
        migrations: section
            .section("migrations", problems)
            .map(|part| migrations(part, problems))
            .unwrap_or_default(),
        timeouts: section
            .section("timeouts", problems)
            .map(|section| timeouts(section, problems))
            .unwrap_or_default(),
        hooks: section.section("hooks", problems).map(|part| hooks(part, problems)).unwrap_or_default(),
        roles: section.section("roles", problems).map(|part| roles(&part, problems)).unwrap_or_default(),
        models: section.section("models", problems).map(|part| models(&part, problems)).unwrap_or_default(),
        sidecars: section
            .section("sidecars", problems)
            .map(|part| sidecars(&part, problems))
            .unwrap_or_default(),
        accessories: section
            .section("accessories", problems)
            .map(|part| accessories(&part, problems))
            .unwrap_or_default(),
        ssh: section.section("ssh", problems).map(|section| ssh(section, problems)).unwrap_or_default(),
    }
}

/// When deployments may begin.
fn windows(items: Vec<(String, &Node)>, problems: &mut Problems) -> Vec<DeployWindow> {
    items.into_iter().filter_map(|(path, item)| scalar(&path, item, str::parse, problems)).collect()
}

/// The environment: what is in the clear and what is secret, or, with neither word, all in the clear.
pub(super) fn env(mut section: Section<'_>, problems: &mut Problems) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::new();
    if !section.entries.iter().any(|entry| entry.key == "clear" || entry.key == "secret") {
        clear(&section, &mut variables, problems);
        return variables;
    }
    if let Some(part) = section.section("clear", problems) {
        clear(&part, &mut variables, problems);
    }
    if let Some(node) = section.node("secret") {
        problems.hide(node);
        secret(section.path_of("secret"), node, &mut variables, problems);
    }
    section.done(problems);
    variables
}

fn clear(section: &Section<'_>, variables: &mut BTreeMap<String, Variable>, problems: &mut Problems) {
    for (entry, text) in section.texts(problems) {
        let path = section.path_of(&entry.key);
        let variable = match Interpolation::of(text) {
            Interpolation::None => Variable::Clear(text.to_owned()),
            Interpolation::Whole(reference) => Variable::Secret(reference),
            Interpolation::Mixed => {
                let mixed = Problem::new(&path, entry.node.place, "a variable inside a text is not expanded");
                problems.add(
                    mixed.hint(format!(
                        "take the whole text from one: `secret: {{{}: env://NAME}}`",
                        entry.key
                    )),
                );
                continue;
            }
        };
        insert(&path, entry, variable, variables, problems);
    }
}

fn secret(path: String, node: &Node, variables: &mut BTreeMap<String, Variable>, problems: &mut Problems) {
    if matches!(node.value, Value::List(_)) {
        let list = Problem::new(&path, node.place, "expected keys and values, found a list");
        problems.add(list.hint("say for each where its value is: `{NAME: env://NAME}`"));
        return;
    }
    let Some(section) = Section::of(path, node, problems) else { return };
    for (entry, _) in section.texts(problems) {
        let path = section.path_of(&entry.key);
        if let Some(reference) = scalar(&path, &entry.node, str::parse::<Reference>, problems) {
            insert(&path, entry, Variable::Secret(reference), variables, problems);
        }
    }
}

fn insert(
    path: &str,
    entry: &Entry,
    variable: Variable,
    variables: &mut BTreeMap<String, Variable>,
    problems: &mut Problems,
) {
    match variable_name(&entry.key) {
        Err(error) => problems.add(Problem::new(path, entry.place, error.to_string())),
        Ok(name) => {
            if variables.insert(name, variable).is_some() {
                problems.add(Problem::new(path, entry.place, "given twice, in the clear and as a secret"));
            }
        }
    }
}

fn soak(mut section: Section<'_>, problems: &mut Problems) -> Soak {
    let soak = Soak {
        time: section.value("time", span, problems),
        max_errors_per_mille: section.value("max_errors", percent, problems),
        min_requests: section.value("min_requests", whole(0..=1_000_000_000), problems),
    };
    section.done(problems);
    soak
}

fn timeouts(mut section: Section<'_>, problems: &mut Problems) -> Timeouts {
    let timeouts = Timeouts {
        ready: section.value("ready", limit, problems),
        drain: section.value("drain", span, problems),
        drain_streams: section.value("drain_streams", span, problems),
        stop: section.value("stop", span, problems),
        build: section.value("build", limit, problems),
        ship: section.value("ship", limit, problems),
        migrate: section.value("migrate", limit, problems),
        backfill: section.value("backfill", limit, problems),
    };
    section.done(problems);
    timeouts
}

fn ssh(mut section: Section<'_>, problems: &mut Problems) -> Ssh {
    let ssh = reached(&mut section, problems);
    section.done(problems);
    ssh
}
