//! The shape of `kamal.yml`: an application under `app`, a section for each destination, and `readiness_probe`.

use cutover_core::tree::{Entry, Form, Node, Value};

use crate::kamal;
use crate::native::as_docker_gives;
use crate::reading::{Item, Keys, Reading};
use crate::tree::Tree;
use crate::variable;

/// What such a file is.
pub(crate) const FORM: Form = Form {
    shortest: "the shortest file that works has `app: {image: <image>, port: <port>}` and `production: {host: <address>}`",
    single: "a deploy file is one: one application and its destinations",
};

/// The keys at the top that are no destination.
const OWN: [&str; 2] = ["app", "readiness_probe"];

/// Seconds that a replica has to be ready, beside the time before it is asked at all.
const READY: f64 = 30.0;

/// The native file of each destination.
pub(crate) fn native(root: &Node, reading: &mut Reading<'_>) -> Vec<(String, Node)> {
    let whole = Item { path: String::new(), place: root.place, node: root };
    let Some(keys) = reading.keys(&whole) else { return Vec::new() };
    let named = |entry: &&Entry| !OWN.contains(&entry.key.as_str()) && !entry.key.starts_with("x-");
    let destinations: Vec<&Entry> = keys.entries.iter().filter(named).collect();
    if destinations.is_empty() {
        let none = cutover_core::Problem::new("", None, "there is no destination");
        reading.problems.add(none.hint("add a section for one: `production: {host: <address>}`"));
    }
    let mut all = Vec::new();
    for entry in destinations {
        let mut tree = Tree::default();
        let item = keys.item(entry);
        let Some(mut app) = application(&keys, &mut tree, reading) else { return all };
        if let Some(item) = app.take("env") {
            variables(&item, &mut tree, reading);
        }
        app.done(reading, |key| match key {
            "build" | "builder" => Some(
                "the image is there already in such a file; what builds one is `builder` of cutover.yaml",
            ),
            "healthcheck" => Some("it is `readiness_probe`, at the top"),
            _ => None,
        });
        if destination(&entry.key, &item, &mut tree, reading).is_some() {
            all.push((entry.key.clone(), tree.finish()));
        }
    }
    for (key, item) in keys.all() {
        if key.starts_with("x-") {
            reading.idle(&item, "it is there for its anchors");
        }
    }
    all
}

/// What is the same everywhere but for the variables, which a destination adds to.
fn application<'n>(whole: &Keys<'n>, tree: &mut Tree, reading: &mut Reading<'_>) -> Option<Keys<'n>> {
    let find = |name: &str| whole.all().into_iter().find(|(key, _)| *key == name).map(|(_, item)| item);
    let Some(app) = find("app") else {
        let missing = cutover_core::Problem::new("app", None, "missing");
        reading.problems.add(missing.hint("say what runs: `app: {image: <image>, port: <port>}`"));
        return None;
    };
    let mut keys = reading.keys(&app)?;
    as_docker_gives(tree, app.place);
    let image = keys.take("image");
    match (keys.take("name"), &image) {
        (Some(item), _) => drop(reading.carry(tree, &item, &["service"])),
        (None, Some(item)) => {
            if let Some(image) = commit_filled(item, reading) {
                tree.text(&["service"], item.node.place, name_of(&image));
            }
        }
        (None, None) => {}
    }
    match &image {
        Some(item) => {
            if let Some(image) = commit_filled(item, reading) {
                tree.text(&["image"], item.node.place, image);
                reading.carried(item, &["image"]);
            }
        }
        None => reading.wrong_key(
            &app,
            "there is no image",
            "name it: `image: registry.example.com/hello:$COMMIT_SHA`",
        ),
    }
    if let Some(item) = keys.take("port") {
        reading.carry_number(tree, &item, &["port"]);
    }
    if let Some(item) = keys.take("replicas") {
        reading.carry_number(tree, &item, &["replicas"]);
    }
    if let Some(item) = keys.take("command") {
        kamal::command(&item, &["command"], tree, reading);
    }
    for item in [find("readiness_probe"), keys.take("readiness_probe")].into_iter().flatten() {
        probe(&item, tree, reading);
    }
    Some(keys)
}

/// The image, with the commit in the place of `$COMMIT_SHA`: that of whoever deploys, as CI sets it, or the one that is checked out.
fn commit_filled(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text(item)?;
    let parts: Vec<&str> = text.split("${COMMIT_SHA}").flat_map(|part| part.split("$COMMIT_SHA")).collect();
    if parts.len() == 1 {
        return Some(text);
    }
    let (commit, from) = match (reading.around.variable)("COMMIT_SHA").filter(|commit| !commit.is_empty()) {
        Some(commit) => (Some(commit), "COMMIT_SHA of the environment"),
        None => (reading.around.commit.clone(), "the commit that is checked out"),
    };
    let Some(commit) = commit else {
        reading.wrong(item, "the commit isn't known: this is in no Git repository", "set COMMIT_SHA to it");
        return None;
    };
    reading.turned(item, format!("COMMIT_SHA is {from}"));
    Some(parts.join(&commit))
}

/// The last word of an image's name, as far as it can name a service.
fn name_of(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn variables(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(keys) = reading.keys(item) else { return };
    for (name, item) in keys.all() {
        let Some(value) = variable::clear(&item, reading) else { continue };
        // What a destination says takes the place of what the application does, secret or not.
        for section in ["clear", "secret"] {
            tree.remove(&["env", section], name);
        }
        let to = ["env", value.section(), name];
        tree.text(&to, item.node.place, value.text());
        reading.carried(&item, &to);
    }
}

fn probe(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    if let Some(item) = keys.take("path") {
        reading.carry(tree, &item, &["readiness_probe", "path"]);
    }
    for key in ["initial_delay", "period", "timeout"] {
        if let Some(item) = keys.take(key) {
            reading.carry_seconds(tree, &item, &["readiness_probe", key]);
            let delay = reading.seconds(&item).filter(|seconds| key == "initial_delay" && *seconds > 0.0);
            if let Some(delay) = delay {
                tree.text(&["timeouts", "ready"], item.node.place, format!("{}s", (delay + READY).ceil()));
                reading.turned(&item, "a replica has 30s more than that to be ready: `timeouts: {ready: …}`");
            }
        }
    }
    for (key, to) in [("success_threshold", "successes"), ("failure_threshold", "failures")] {
        if let Some(item) = keys.take(key) {
            reading.carry_number(tree, &item, &["readiness_probe", to]);
        }
    }
    keys.done(reading, |key| (key == "interval").then_some("it is called `period` here"));
}

fn destination(name: &str, item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) -> Option<()> {
    let mut keys = reading.keys(item)?;
    let mut hosts = Vec::new();
    for item in [keys.take("host"), keys.take("hosts")].into_iter().flatten() {
        for item in reading.items(&item) {
            if let Some(host) = reading.text(&item) {
                hosts.push((item.node.place, host));
                reading.carried(&item, &["destinations", name, "hosts"]);
            }
        }
    }
    if hosts.is_empty() {
        reading.wrong_key(item, "no host", "say where it runs: `host: <address>`");
        return None;
    }
    tree.list(&["destinations", name, "hosts"], item.place, hosts);
    if let Some(item) = keys.take("user") {
        reading.carry(tree, &item, &["ssh", "user"]);
    }
    if let Some(item) = keys.take("service")
        && let Some(text) = reading.text(&item)
    {
        if text == "docker" {
            reading.turned(&item, "what runs there runs in Docker");
        } else {
            reading.wrong(&item, format!("'{text}' is nothing that a version runs in here"), "docker is");
        }
    }
    if let Some(item) = keys.take("replicas") {
        reading.carry_number(tree, &item, &["replicas"]);
    }
    if let Some(item) = keys.take("env") {
        variables(&item, tree, reading);
    }
    let hostname = keys.take("hostname");
    if let Some(item) = &hostname {
        let names =
            reading.items(item).iter().filter_map(|one| Some((one.node.place, reading.text(one)?))).collect();
        tree.list(&["proxy", "hosts"], item.place, names);
        reading.carried(item, &["proxy", "hosts"]);
    }
    let own = [(keys.take("certificate"), "certificate"), (keys.take("key"), "key")];
    let has_own = own.iter().any(|(item, _)| item.is_some());
    for (item, key) in own {
        if let Some(item) = item {
            reading.problems.hide(item.node);
            reading.carry(tree, &item, &["proxy", "tls", key]);
        }
    }
    if let Some(item) = keys.take("ports") {
        ports(&item, hostname.is_some(), has_own, tree, reading);
    }
    keys.done(reading, |key| {
        (key == "domain").then_some("the name that the application answers to is `hostname` here")
    });
    Some(())
}

/// Where the proxy listens, which is said when it is made; and whether it speaks TLS there.
fn ports(item: &Item<'_>, has_name: bool, has_own: bool, tree: &mut Tree, reading: &mut Reading<'_>) {
    for item in reading.items(item) {
        let Some(mut keys) = reading.keys(&item) else { continue };
        if let Some(item) = keys.take("http")
            && let Some(port) = reading.number(&item)
        {
            if port == 80 {
                reading.turned(&item, "the proxy answers there");
            } else {
                reading.left(
                    &item,
                    format!("the proxy answers where it was made to: `cutover setup --http-port {port}`"),
                );
            }
        }
        if let Some(item) = keys.take("https")
            && let Some(port) = reading.number(&item)
        {
            if has_own {
                reading.turned(&item, "with the certificate that is given");
            } else if has_name {
                tree.text(&["proxy", "tls"], item.place, "true");
                reading.turned(&item, "with a certificate that is ordered for `hostname`");
            } else {
                let why = "a certificate needs a name, and none is given: port 80 serves. Add `hostname: example.com` to have one ordered, or `certificate` and `key`, as references";
                reading.left(&item, why);
            }
            if port != 443 {
                reading.left(
                    &item,
                    format!("the proxy speaks TLS where it was made to: `cutover setup --https-port {port}`"),
                );
            }
        }
        keys.done(reading, |_| None);
    }
}

/// Whether a tree looks like such a file.
pub(crate) fn is_one(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    has("app") && !has("service") && !has("servers") && !has("destinations")
}
