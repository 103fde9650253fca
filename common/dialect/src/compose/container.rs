//! A service of a Compose file: the service itself, or a role beside it.

use cutover_core::Span;
use cutover_core::tree::Value;

use super::build::build;
use super::environment::environment;
use super::interpolation::text;
use crate::kamal::{Whose, option};
use crate::reading::{Item, Keys, Reading};
use crate::tree::Tree;

/// How long a replica has to be ready unless it is said.
const READY: Span = Span::seconds(30);

/// What is said by the same words in `docker run`.
const OPTIONS: [(&str, &str); 22] = [
    ("mem_limit", "memory"),
    ("cpus", "cpus"),
    ("cpu_shares", "cpu-shares"),
    ("pids_limit", "pids-limit"),
    ("shm_size", "shm-size"),
    ("gpus", "gpus"),
    ("user", "user"),
    ("working_dir", "workdir"),
    ("hostname", "hostname"),
    ("stop_signal", "stop-signal"),
    ("tmpfs", "tmpfs"),
    ("dns", "dns"),
    ("read_only", "read-only"),
    ("init", "init"),
    ("cap_add", "cap-add"),
    ("cap_drop", "cap-drop"),
    ("security_opt", "security-opt"),
    ("privileged", "privileged"),
    ("devices", "device"),
    ("pid", "pid"),
    ("ipc", "ipc"),
    ("entrypoint", "entrypoint"),
];

/// What nothing comes of, and why.
const LEFT: [(&str, &str); 10] = [
    ("depends_on", "nothing is started for it: what it needs has to be there"),
    (
        "networks",
        "those that it needs beside its own are `container.networks`, by the names that Docker has for them",
    ),
    ("network_mode", "the service has a network of its own"),
    ("secrets", "a secret is a variable, by reference: `env: {secret: {NAME: file:///…}}`"),
    ("configs", "files are part of the image, or of `container.volumes`"),
    ("links", "others are reached by the names that they have on a network: `container.networks`"),
    ("extends", "its keys are not looked for elsewhere: write them here"),
    ("runtime", "containers run as Docker runs them by itself"),
    ("stdin_open", "a replica has no terminal"),
    ("tty", "a replica has no terminal"),
];

const IDLE: [(&str, &str); 6] = [
    ("restart", "a replica that ends is started again, and watched"),
    ("container_name", "several replicas run side by side, each with a name of its own"),
    ("profiles", "it is deployed"),
    ("pull_policy", "the image is built, or pulled once"),
    ("develop", "it is about the machine of whoever develops"),
    ("attach", "it is about the terminal of `docker compose up`"),
];

pub(super) fn service(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    let (built, image) = (keys.take("build"), keys.take("image"));
    match (&built, &image) {
        (Some(built), image) => {
            build(built, tree, reading);
            if let Some(image) = image {
                reading.idle(image, "it is built, and its name isn't needed");
            }
        }
        (None, Some(image)) => put(image, &["image"], tree, reading),
        (None, None) => {
            reading.wrong_key(item, "it has neither `build` nor `image`", "say what runs: `build: .`")
        }
    }
    if let Some(item) = keys.take("platform") {
        let to = ["builder", "platform"];
        if built.is_some() {
            put(&item, &to, tree, reading)
        } else {
            reading.left(&item, "it is that of the image")
        }
    }
    ports([keys.take("ports"), keys.take("expose")], tree, reading);
    health_check(keys.take("healthcheck"), item, tree, reading);
    if let Some(item) = keys.take("command") {
        command(&item, &["command"], tree, reading);
    }
    environment(&mut keys, &["env"], tree, reading);
    volumes(keys.take("volumes"), tree, reading);
    for (key, known) in OPTIONS {
        if let Some(item) = keys.take(key) {
            option(known, &item, Whose::Service, tree, reading);
        }
    }
    for (key, known) in [("labels", "labels"), ("sysctls", "sysctls"), ("extra_hosts", "extra_hosts")] {
        if let Some(item) = keys.take(key) {
            named(&item, &["container", known], tree, reading);
        }
    }
    if let Some(item) = keys.take("ulimits") {
        limits(&item, tree, reading);
    }
    if let Some(item) = keys.take("logging")
        && let Some(mut part) = reading.keys(&item)
    {
        if let Some(item) = part.take("driver") {
            put(&item, &["container", "logging", "driver"], tree, reading);
        }
        if let Some(item) = part.take("options") {
            named(&item, &["container", "logging", "options"], tree, reading);
        }
        part.done(reading, |_| None);
    }
    if let Some(item) = keys.take("stop_grace_period") {
        put(&item, &["timeouts", "stop"], tree, reading);
    }
    if let Some(item) = keys.take("scale") {
        put(&item, &["replicas"], tree, reading);
    }
    if let Some(item) = keys.take("deploy") {
        deploy(&item, &[], tree, reading);
    }
    done(keys, reading);
}

/// A role has a command, variables, limits and a number of its own; all else is the service's.
pub(super) fn role(name: &str, item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    let fitting = name.to_ascii_lowercase().replace(['_', '.'], "-");
    let at = ["roles", fitting.as_str()];
    for key in ["build", "image"] {
        if let Some(item) = keys.take(key) {
            reading.turned(&item, "it is that of the service");
        }
    }
    if let Some(item) = keys.take("command") {
        command(&item, &[at[0], at[1], "command"], tree, reading);
    }
    environment(&mut keys, &[at[0], at[1], "env"], tree, reading);
    let sections = ["clear", "secret"];
    let own = sections.map(|section| tree.names(&[at[0], at[1], "env", section])).concat();
    for name in sections.map(|section| tree.names(&["env", section])).concat() {
        if !own.contains(&name) {
            tree.push(&[at[0], at[1], "without"], item.place, name);
        }
    }
    for (key, known) in OPTIONS {
        if let Some(item) = keys.take(key) {
            if matches!(known, "memory" | "cpus" | "cpu-shares" | "pids-limit" | "shm-size" | "gpus") {
                option(known, &item, Whose::Role(&fitting, None), tree, reading);
            } else {
                reading.left(&item, "a role has the container of the service");
            }
        }
    }
    for key in [
        "volumes",
        "labels",
        "sysctls",
        "extra_hosts",
        "ulimits",
        "logging",
        "healthcheck",
        "expose",
        "platform",
    ] {
        if let Some(item) = keys.take(key) {
            reading.left(&item, "a role has the container of the service");
        }
    }
    if let Some(item) = keys.take("stop_grace_period") {
        put(&item, &[at[0], at[1], "stop_timeout"], tree, reading);
    }
    if let Some(item) = keys.take("scale") {
        put(&item, &[at[0], at[1], "replicas"], tree, reading);
    }
    if let Some(item) = keys.take("deploy") {
        deploy(&item, &at, tree, reading);
    }
    for limit in tree.names(&["resources"]) {
        if tree.at(&[at[0], at[1], "resources", &limit]).is_none() {
            reading.turned(
                item,
                format!("it has the service's limit of {limit}, too, unless it has one of its own"),
            );
        }
    }
    done(keys, reading);
}

fn done(mut keys: Keys<'_>, reading: &mut Reading<'_>) {
    for (key, why) in LEFT {
        if let Some(item) = keys.take(key) {
            reading.left(&item, why);
        }
    }
    for (key, why) in IDLE {
        if let Some(item) = keys.take(key) {
            reading.idle(&item, why);
        }
    }
    keys.done(reading, |_| {
        Some("leave it out, or deploy this file with Compose: what it says can't be carried here")
    });
}

/// Puts a single value where it belongs.
pub(super) fn put(item: &Item<'_>, to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    if let Some(text) = text(item, reading) {
        tree.text(to, item.node.place, text);
        reading.carried(item, to);
    }
}

/// The port that the application listens on is that of the first one; where the proxy listens is its own matter.
fn ports(items: [Option<Item<'_>>; 2], tree: &mut Tree, reading: &mut Reading<'_>) {
    let mut has_port = false;
    for item in items.into_iter().flatten() {
        for item in reading.items(&item) {
            let port = match &item.node.value {
                Value::Map(_) => {
                    let Some(mut keys) = reading.keys(&item) else { continue };
                    keys.take("target").and_then(|item| text(&item, reading))
                }
                _ => text(&item, reading).map(|text| inner_port(&text).to_owned()),
            };
            let Some(port) = port else { continue };
            if has_port {
                reading.left(&item, "the proxy brings requests to one port; further ones are `proxy.ports` of the native file");
            } else {
                tree.text(&["port"], item.node.place, port);
                reading.changed(
                    &item,
                    &["port"],
                    "requests come through the proxy, on ports 80 and 443 of the host",
                );
                has_port = true;
            }
        }
    }
}

/// `127.0.0.1:8080:3000/tcp` is 3000.
fn inner_port(text: &str) -> &str {
    let text = text.split('/').next().unwrap_or_default();
    text.rsplit(':').next().unwrap_or_default()
}

/// Docker's own health check is the question that a new replica has to answer. Without one, it has to accept a connection.
fn health_check(item: Option<Item<'_>>, service: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(item) = item else {
        tree.put(&["readiness_probe", "tcp"], service.place, Value::Map(Vec::new()));
        reading.turned(service, "a new replica has to accept a connection; better is a path that it answers: `readiness_probe: {path: /up}`");
        return;
    };
    let Some(mut keys) = reading.keys(&item) else { return };
    if let Some(item) = keys.take("test") {
        let to = ["readiness_probe", "command"];
        let words: Option<Vec<String>> = match &item.node.value {
            Value::List(_) => reading.items(&item).iter().map(|item| text(item, reading)).collect(),
            _ => text(&item, reading).map(|text| vec!["CMD-SHELL".to_owned(), text]),
        };
        let words = match words.as_deref() {
            Some([kind, rest @ ..]) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
            Some([kind, script]) if kind == "CMD-SHELL" => {
                vec!["sh".to_owned(), "-c".to_owned(), script.clone()]
            }
            Some([kind]) if kind == "NONE" => Vec::new(),
            Some(_) => {
                reading.wrong(&item, "this is no health check", "write [CMD, …], [CMD-SHELL, …] or a text");
                return;
            }
            None => return,
        };
        if !words.is_empty() {
            tree.list(&to, item.node.place, words.into_iter().map(|word| (item.node.place, word)).collect());
            reading.carried(&item, &to);
        }
    }
    for (key, to) in [("interval", "period"), ("timeout", "timeout")] {
        if let Some(item) = keys.take(key) {
            put(&item, &["readiness_probe", to], tree, reading);
        }
    }
    if let Some(item) = keys.take("retries") {
        reading.idle(&item, "a new replica is asked until `timeouts.ready` is over");
    }
    if let Some(item) = keys.take("start_period") {
        start_period(&item, tree, reading);
    }
    for key in ["disable", "start_interval"] {
        if let Some(item) = keys.take(key) {
            reading.left(&item, "a new replica is asked until it is ready, as `readiness_probe` says");
        }
    }
    keys.done(reading, |_| None);
}

/// Within that time no answer counts as a failure: a replica has so much longer to be ready.
fn start_period(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(text) = text(item, reading) else { return };
    match text.parse::<Span>() {
        Ok(Span(period)) => {
            let ready = Span(period.saturating_add(READY.0));
            tree.text(&["timeouts", "ready"], item.node.place, ready.to_string());
            reading.turned(
                item,
                format!("a new replica has {READY} more than that to be ready: `timeouts: {{ready: …}}`"),
            );
        }
        Err(error) => reading.wrong(item, error.to_string(), "write a number with a unit, as in 40s"),
    }
}

fn command(item: &Item<'_>, to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    let words: Option<Vec<String>> = match &item.node.value {
        Value::List(_) => reading.items(item).iter().map(|item| text(item, reading)).collect(),
        Value::Null => return reading.idle(item, "it is the image's own"),
        // Compose splits it as a shell does, and runs no shell.
        _ => text(item, reading).and_then(|text| shlex::split(&text)),
    };
    match words {
        Some(words) if !words.is_empty() => {
            tree.list(to, item.node.place, words.into_iter().map(|word| (item.node.place, word)).collect());
            reading.carried(item, to);
        }
        _ => reading.wrong(item, "this is no command", "write it as a list: [bin/server, -p, \"3000\"]"),
    }
}

fn volumes(item: Option<Item<'_>>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(item) = item else { return };
    for item in reading.items(&item) {
        if matches!(item.node.value, Value::Map(_)) {
            reading.left(&item, "write it in short: `container: {volumes: [\"name:/path\"]}`");
            continue;
        }
        let Some(text) = text(&item, reading) else { continue };
        if text.starts_with('.') || text.starts_with('~') {
            reading.left(&item, "a path of this machine is nothing on a host: put the files into the image, or onto the hosts, by an absolute path");
        } else if text.contains(':') {
            tree.push(&["container", "volumes"], item.node.place, text);
            reading.carried(&item, &["container", "volumes"]);
        } else {
            reading.left(&item, "a volume without a name is gone with its container: give it one");
        }
    }
}

/// Names and values, as a mapping, or as a list of `NAME=VALUE` or `NAME:VALUE`.
pub(super) fn named(item: &Item<'_>, to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    if matches!(item.node.value, Value::Map(_)) {
        for (name, item) in reading.keys(item).map(|keys| keys.all()).unwrap_or_default() {
            put(&item, &[to, &[name]].concat(), tree, reading);
        }
        return;
    }
    for item in reading.items(item) {
        let Some(text) = text(&item, reading) else { continue };
        let Some((name, value)) = text.split_once('=').or_else(|| text.split_once(':')) else {
            reading.wrong(&item, "expected a name and a value", "write NAME=VALUE");
            continue;
        };
        let to = [to, &[name]].concat();
        tree.text(&to, item.node.place, value);
        reading.carried(&item, &to);
    }
}

fn limits(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    for (name, item) in reading.keys(item).map(|keys| keys.all()).unwrap_or_default() {
        let to = ["resources", "ulimits", name];
        if matches!(item.node.value, Value::Map(_)) {
            for (key, item) in reading.keys(&item).map(|keys| keys.all()).unwrap_or_default() {
                put(&item, &[&to[..], &[key]].concat(), tree, reading);
            }
        } else {
            put(&item, &to, tree, reading);
        }
    }
}

/// `deploy`: replicas and limits, of the service or of the role at `at`.
fn deploy(item: &Item<'_>, at: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    if let Some(item) = keys.take("replicas") {
        put(&item, &[at, &["replicas"]].concat(), tree, reading);
    }
    if let Some(item) = keys.take("resources")
        && let Some(mut part) = reading.keys(&item)
    {
        if let Some(item) = part.take("limits")
            && let Some(mut limits) = reading.keys(&item)
        {
            for key in ["memory", "cpus", "pids"] {
                if let Some(item) = limits.take(key) {
                    put(&item, &[at, &["resources", key]].concat(), tree, reading);
                }
            }
            limits.done(reading, |_| None);
        }
        if let Some(item) = part.take("reservations") {
            reading.left(&item, "nothing is reserved on a host; GPUs are `resources: {gpus: all}`");
        }
        part.done(reading, |_| None);
    }
    for key in
        ["restart_policy", "update_config", "rollback_config", "mode", "placement", "endpoint_mode", "labels"]
    {
        if let Some(item) = keys.take(key) {
            reading.left(&item, "it is about Swarm");
        }
    }
    keys.done(reading, |_| None);
}
