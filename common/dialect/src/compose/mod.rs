//! A Compose file, as far as one application in it can be deployed: the service that is built, or has a port, is the service; others
//! of the same image are roles beside it, those that only listen for it are sidecars; what else is there stays where it is. It names no hosts, so it is imported, and never deployed.

mod build;
mod container;
mod environment;
mod interpolation;

use cutover_core::tree::{Form, Node, Value};
use cutover_core::{Place, Problem, SidecarName, Span};

use crate::native::as_docker_gives;
use crate::reading::{Item, Reading};
use crate::tree::{Tree, same};

/// What such a file is.
pub(crate) const FORM: Form = Form {
    shortest: "the shortest Compose file that works has `services: {web: {build: ., ports: [\"80:3000\"]}}`",
    single: "a Compose file is one document",
};

/// An address that is nobody's (RFC 5737), to be replaced.
const SOME_HOST: &str = "203.0.113.10";

/// What is not in the file.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The service that has the traffic; none: the one that is built, or has a port.
    pub service: Option<String>,
    /// Where it is to run; none: an address to be replaced.
    pub hosts: Vec<String>,
}

/// The native file.
pub(crate) fn native(root: &Node, wanted: &Wanted, reading: &mut Reading<'_>) -> Option<Node> {
    let whole = Item { path: String::new(), place: root.place, node: root };
    let mut keys = reading.keys(&whole)?;
    let dotenv = (reading.around.text_of)(".env");
    reading.secrets = Default::default();
    reading.secrets.add(".env", dotenv.as_deref());
    if let Some(item) = keys.take("version") {
        reading.idle(&item, "Compose itself minds it no more");
    }
    if let Some(item) = keys.take("name") {
        reading.idle(&item, "a service has a name of its own");
    }
    let services = keys.take("services");
    for (key, why) in [
        (
            "volumes",
            "a volume is made where it is used; one of Compose has its project's name before its own: `docker volume ls`",
        ),
        (
            "networks",
            "the service has a network of its own; others that it needs are `container.networks`, by the names that Docker has for them",
        ),
        ("configs", "files are part of the image, or of `container.volumes`"),
        ("secrets", "a secret is a variable, by reference: `env: {secret: {NAME: file:///…}}`"),
        ("include", "import that file by itself"),
    ] {
        if let Some(item) = keys.take(key) {
            reading.left(&item, why);
        }
    }
    for (key, item) in keys.all() {
        if key.starts_with("x-") {
            reading.idle(&item, "it is there for its anchors");
        }
    }
    let mut own = Vec::new();
    keys.without("x-", &mut own).done(reading, |_| None);
    let Some(services) = services else {
        let missing = Problem::new("services", None, "missing");
        reading.problems.add(missing.hint(FORM.shortest));
        return None;
    };
    let all = reading.keys(&services)?.all();
    let (name, main) = chosen(&services, &all, wanted, reading)?;
    let mut tree = Tree::default();
    let fitting = name.to_ascii_lowercase().replace(['_', '.'], "-");
    reading.changed(&main, &["service"], "it is the one that has the traffic");
    tree.text(&["service"], main.place, fitting);
    as_docker_gives(&mut tree, main.place);
    hosts(&wanted.hosts, main.place, &mut tree);
    container::service(&main, &mut tree, reading);
    for (other, item) in all.iter().filter(|(other, _)| *other != name) {
        if is_of_same_image(&main, item) && has(item, "command") && !has(item, "ports") {
            reading.turned(item, "a role beside the service, of the same image");
            container::role(other, item, &mut tree, reading);
        } else if let Some(port) = sidecar_port(other, item) {
            sidecar(other, item, &port, &mut tree, reading);
        } else {
            reading.left(
                item,
                "it is no part of the service, and stays where it is: keep it in Compose on its host, or deploy it from a file of its own",
            );
        }
    }
    Some(tree.finish())
}

/// Where a service listens that is none of the others' business but the application's: it says so, has no port on the host, keeps
/// nothing, and has a name that it can have here too, as that is how it is reached.
fn sidecar_port(name: &str, item: &Item<'_>) -> Option<String> {
    let is_stateless = !has(item, "volumes") && !has(item, "ports") && !has(item, "volumes_from");
    let keeps_name = name.parse::<SidecarName>().is_ok();
    let Value::List(ports) = &at(item, "expose")?.value else { return None };
    let Value::Text(port) = &ports.first()?.value else { return None };
    let port = port.split('/').next().unwrap_or_default().to_owned();
    (is_stateless && keeps_name && !port.contains('$')).then_some(port)
}

/// It may reach what it reaches in Compose, and stops in its own time.
fn sidecar(name: &str, item: &Item<'_>, port: &str, tree: &mut Tree, reading: &mut Reading<'_>) {
    reading.turned(item, "a sidecar, which the application reaches by the same name");
    let mut own = Tree::default();
    as_docker_gives(&mut own, item.place);
    reading.within = vec!["sidecars".to_owned(), name.to_owned()];
    container::service(item, &mut own, reading);
    reading.within.clear();
    own.text(&["port"], item.place, port);
    own.text(&["egress"], item.place, "true");
    if let Some(Node { value: Value::Text(stop), place }) = own.at(&["timeouts", "stop"]).cloned() {
        own.text(&["stop_timeout"], place, stop);
    }
    if let Some(Node { value: Value::Text(ready), place }) = own.at(&["timeouts", "ready"]).cloned() {
        // All of a version have the same time.
        let span = |text: &str| text.parse::<Span>().unwrap_or_default();
        let before = tree.at(&["timeouts", "ready"]).cloned();
        let is_longer =
            !matches!(before, Some(Node { value: Value::Text(before), .. }) if span(&before) >= span(&ready));
        if is_longer {
            tree.text(&["timeouts", "ready"], place, ready);
        }
    }
    own.remove(&[], "timeouts");
    tree.graft(&["sidecars", name], item.place, own);
}

fn hosts(wanted: &[String], place: Place, tree: &mut Tree) {
    let hosts = if wanted.is_empty() { vec![SOME_HOST.to_owned()] } else { wanted.to_vec() };
    let hosts = hosts.into_iter().map(|host| (place, host)).collect();
    tree.list(&["destinations", "production", "hosts"], place, hosts);
}

/// The service that has the traffic.
fn chosen<'n, 'i>(
    services: &Item<'n>,
    all: &'i [(&'n str, Item<'n>)],
    wanted: &Wanted,
    reading: &mut Reading<'_>,
) -> Option<(&'n str, Item<'n>)> {
    let names = || all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found: Vec<&'i (&'n str, Item<'n>)> = match &wanted.service {
        Some(wanted) => all.iter().filter(|(name, _)| name == wanted).collect(),
        None => {
            let with_port: Vec<_> =
                all.iter().filter(|(_, item)| has(item, "build") && has(item, "ports")).collect();
            let built: Vec<_> = all.iter().filter(|(_, item)| has(item, "build")).collect();
            [with_port, built, all.iter().collect()]
                .into_iter()
                .find(|found| found.len() == 1)
                .unwrap_or_default()
        }
    };
    if let [(name, item)] = found.as_slice() {
        return Some((name, item.clone()));
    }
    let message = match &wanted.service {
        Some(wanted) => format!("there is no service '{wanted}'"),
        None => "which one has the traffic is not clear".to_owned(),
    };
    reading.wrong_key(
        services,
        message,
        format!("say which: `cutover import --service <one of {}>`", names()),
    );
    None
}

fn has(item: &Item<'_>, key: &str) -> bool {
    at(item, key).is_some()
}

fn at<'n>(item: &Item<'n>, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &item.node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

fn is_of_same_image(one: &Item<'_>, other: &Item<'_>) -> bool {
    let both = |key: &str| at(one, key).zip(at(other, key)).is_some_and(|(one, other)| same(one, other));
    both("build") || both("image")
}

/// Whether a tree looks like such a file.
pub(crate) fn is_one(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    has("services") && !has("service") && !has("servers") && !has("destinations") && !has("app")
}
