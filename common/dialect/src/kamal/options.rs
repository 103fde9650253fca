//! `options` of a role: what Kamal hands to `docker run`.

use cutover_core::Place;
use cutover_core::Problem;
use cutover_core::tree::{Node, Value};

use crate::native::OPEN_CONTAINER;
use crate::reading::{Item, Reading};
use crate::tree::{Tree, same};

/// Whose options they are.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    Service,
    /// A role's, with the options of the one that is the service.
    Role(&'a str, Option<&'a Item<'a>>),
}

/// What limits a container, by `docker run`'s words and by ours.
const RESOURCES: [(&str, &str); 7] = [
    ("memory", "memory"),
    ("m", "memory"),
    ("cpus", "cpus"),
    ("cpu-shares", "cpu_shares"),
    ("c", "cpu_shares"),
    ("pids-limit", "pids"),
    ("shm-size", "shm_size"),
];

/// What else a container has, as one value.
const SINGLE: [(&str, &[&str]); 8] = [
    ("user", &["container", "user"]),
    ("u", &["container", "user"]),
    ("workdir", &["container", "working_dir"]),
    ("w", &["container", "working_dir"]),
    ("hostname", &["container", "hostname"]),
    ("h", &["container", "hostname"]),
    ("stop-signal", &["container", "stop_signal"]),
    ("log-driver", &["container", "logging", "driver"]),
];

/// And as a list.
const LISTED: [(&str, &[&str]); 6] = [
    ("tmpfs", &["container", "tmpfs"]),
    ("dns", &["container", "dns"]),
    ("volume", &["container", "volumes"]),
    ("v", &["container", "volumes"]),
    ("network", &["container", "networks"]),
    ("net", &["container", "networks"]),
];

/// And as names with values, with what stands between both.
const NAMED: [(&str, char, &[&str]); 5] = [
    ("add-host", ':', &["container", "extra_hosts"]),
    ("label", '=', &["container", "labels"]),
    ("l", '=', &["container", "labels"]),
    ("sysctl", '=', &["container", "sysctls"]),
    ("log-opt", '=', &["container", "logging", "options"]),
];

/// Reads the section.
pub(crate) fn options(item: &Item<'_>, whose: Whose<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(keys) = reading.keys(item) else { return };
    for (key, item) in keys.all() {
        let key = key.replace('_', "-");
        one(&key, &item, whose, tree, reading);
    }
}

/// One option, by its name in `docker run`.
pub(crate) fn one(key: &str, item: &Item<'_>, whose: Whose<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    if resource(key, item, whose, tree, reading) {
        return;
    }
    match whose {
        Whose::Service => option(key, item, tree, reading),
        Whose::Role(_, service) if is_the_services(key, item, service) => {
            reading.turned(item, "it has it with the container of the service");
        }
        Whose::Role(..) if is_the_same_everywhere(key) => switch(key, item, tree, reading),
        Whose::Role(..) if key == "stop-timeout" => {
            reading.idle(item, "the role's `stop_timeout` counts, or the file's");
        }
        Whose::Role(name, _) => reading.wrong_key(
            item,
            format!("role '{name}' has the container of the service, and limits of its own alone"),
            "say it of the role that is the service, or leave it out",
        ),
    }
}

/// Whether an option says nothing of a container here, whoever has it.
fn is_the_same_everywhere(key: &str) -> bool {
    matches!(key, "restart" | "no-healthcheck") || key.starts_with("health-")
}

/// Whether it was a limit.
fn resource(
    key: &str,
    item: &Item<'_>,
    whose: Whose<'_>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) -> bool {
    let prefix: Vec<&str> = match whose {
        Whose::Service => vec!["resources"],
        Whose::Role(name, _) => vec!["roles", name, "resources"],
    };
    let at = |last: &[&'static str]| [prefix.clone(), last.to_vec()].concat();
    if let Some((_, to)) = RESOURCES.iter().find(|(known, _)| *known == key) {
        let to = at(&[to]);
        if let Some(text) = reading.text(item) {
            // Docker takes the unit in capitals, too.
            tree.text(&to, item.node.place, text.to_ascii_lowercase());
            reading.carried(item, &to);
        }
        return true;
    }
    match key {
        "gpus" => {
            let to = at(&["gpus"]);
            let Some(text) = reading.text(item) else { return true };
            let text = text.trim_matches('"');
            match text.strip_prefix("device=") {
                Some(devices) => {
                    let devices = devices.split(',').map(|id| (item.node.place, id.to_owned())).collect();
                    tree.list(&to, item.node.place, devices);
                }
                None => tree.text(&to, item.node.place, text),
            }
            reading.carried(item, &to);
        }
        "ulimit" => {
            for item in reading.items(item) {
                let Some(text) = reading.text(&item) else { continue };
                let Some((name, limits)) = text.split_once('=') else {
                    reading.wrong(&item, "this is no limit", "write it as in nofile=1024:2048");
                    continue;
                };
                let to = [at(&["ulimits"]), vec![name]].concat();
                match limits.split_once(':') {
                    Some((soft, hard)) => {
                        tree.text(&[to.clone(), vec!["soft"]].concat(), item.node.place, soft);
                        tree.text(&[to.clone(), vec!["hard"]].concat(), item.node.place, hard);
                    }
                    None => tree.text(&to, item.node.place, limits),
                }
                reading.carried(&item, &to);
            }
        }
        _ => return false,
    }
    true
}

fn option(key: &str, item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    if let Some((_, to)) = SINGLE.iter().find(|(known, _)| *known == key) {
        reading.carry(tree, item, to);
    } else if let Some((_, to)) = LISTED.iter().find(|(known, _)| *known == key) {
        for item in reading.items(item) {
            if let Some(text) = reading.text(&item) {
                tree.push(to, item.node.place, text);
                reading.carried(&item, to);
            }
        }
    } else if let Some((_, between, to)) = NAMED.iter().find(|(known, ..)| *known == key) {
        for item in reading.items(item) {
            let Some(text) = reading.text(&item) else { continue };
            let Some((name, value)) = text.split_once(*between) else {
                reading.wrong(
                    &item,
                    format!("expected a name and a value, with {between} between them"),
                    format!("write NAME{between}VALUE"),
                );
                continue;
            };
            let to = [to, [name].as_slice()].concat();
            tree.text(&to, item.node.place, value);
            reading.carried(&item, &to);
        }
    } else {
        switch(key, item, tree, reading);
    }
}

fn switch(key: &str, item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    match key {
        "read-only" | "init" => {
            let to = if key == "init" { ["container", "init"] } else { ["container", "read_only"] };
            if let Some(flag) = reading.flag(item) {
                tree.text(&to, item.node.place, flag.to_string());
                reading.carried(item, &to);
            }
        }
        "cap-add" | "cap-drop" => {
            for item in reading.items(item) {
                let Some(text) = reading.text(&item) else { continue };
                let name = text.to_ascii_uppercase();
                let name = name.strip_prefix("CAP_").unwrap_or(&name);
                capability(name, key == "cap-add", item.node.place, tree);
                reading.changed(&item, &OPEN_CONTAINER, "there is the list of all that it may");
            }
        }
        "security-opt" => {
            for item in reading.items(item) {
                let Some(text) = reading.text(&item) else { continue };
                if matches!(text.as_str(), "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true") {
                    tree.text(&["container", "no_new_privileges"], item.node.place, "true");
                    reading.carried(&item, &["container", "no_new_privileges"]);
                } else {
                    reading.wrong(&item, "this can't be said of a container here", "of security options, no-new-privileges is known");
                }
            }
        }
        "stop-timeout" => reading.carry_seconds(tree, item, &["timeouts", "stop"]),
        "restart" => reading.idle(item, "a replica that ends is started again, and watched"),
        "no-healthcheck" | "health-cmd" | "health-interval" | "health-retries" | "health-timeout" | "health-start-period" => {
            reading.left(item, "Docker's own health check is nobody's reason here: readiness_probe and liveness_probe are");
        }
        "publish" | "p" => reading.wrong_key(
            item,
            "a port of the host belongs to one container, and two versions run side by side",
            "let the proxy bring requests: `proxy: {app_port: …}`; further ports are `proxy.ports` of the native file",
        ),
        "privileged" | "device" | "pid" | "ipc" | "userns" | "cgroupns" | "uts" => reading.wrong_key(
            item,
            format!("a container is never given --{key} here"),
            "leave it out; single capabilities can be given: `cap-add`",
        ),
        "env" | "e" => reading.wrong_key(item, "variables stand in `env`", "write them there: `env: {clear: {NAME: value}}`"),
        "entrypoint" => reading.wrong_key(item, "the image's entrypoint stays", "write the command: `cmd: …`"),
        _ => reading.wrong_key(
            item,
            format!("--{key} of docker run can't be said of a container here"),
            "leave it out, or say what it is for in an issue",
        ),
    }
}

/// Gives a capability, or takes one of those that Docker gives.
fn capability(name: &str, is_given: bool, place: Place, tree: &mut Tree) {
    let given = match tree.at(&OPEN_CONTAINER) {
        Some(Node { value: Value::List(items), .. }) => items.clone(),
        _ => Vec::new(),
    };
    let is_it = |node: &Node| matches!(&node.value, Value::Text(text) if text == name || (name == "ALL" && !is_given));
    let mut left: Vec<Node> = given.into_iter().filter(|node| !is_it(node)).collect();
    if is_given {
        left.push(Node { place, value: Value::Text(name.to_owned()) });
    }
    tree.put(&OPEN_CONTAINER, place, Value::List(left));
}

/// What of the options of one role is about its container, and may be there.
fn of_container<'n>(item: Option<&Item<'n>>) -> Vec<(String, &'n Node)> {
    let Some(Item { node: Node { value: Value::Map(entries), .. }, .. }) = item else { return Vec::new() };
    let all = entries.iter().map(|entry| (entry.key.replace('_', "-"), &entry.node));
    let is_known = |key: &str| {
        matches!(key, "read-only" | "init" | "cap-add" | "cap-drop" | "security-opt")
            || SINGLE.iter().any(|(known, _)| *known == key)
            || LISTED.iter().any(|(known, _)| *known == key)
            || NAMED.iter().any(|(known, ..)| *known == key)
    };
    all.filter(|(key, _)| is_known(key)).collect()
}

/// A role beside the service has the service's container. What the service's own role has of it, a role that hasn't would have too.
pub(crate) fn only_the_services(
    service: Option<&Item<'_>>,
    role: Option<&Item<'_>>,
    (name, path, place): (&str, &str, Place),
    reading: &mut Reading<'_>,
) {
    let own = of_container(role);
    for (key, _) in of_container(service) {
        // Of another value that one is told.
        if !own.iter().any(|(its, _)| *its == key) {
            let message =
                format!("the service has the option {key}, and role '{name}' not: here it would have it too");
            let widened = Problem::new(path, place, message);
            reading.problems.add(
                widened
                    .hint("say it in the role's `options` too, or deploy the role as a service of its own"),
            );
        }
    }
}

/// Whether the role that is the service has the same option.
fn is_the_services(key: &str, item: &Item<'_>, service: Option<&Item<'_>>) -> bool {
    of_container(service).iter().any(|(its, node)| its == key && same(node, item.node))
}

/// A role has the limits of the service unless it has its own, and with Kamal it has none: what it would have here is not meant.
pub(crate) fn not_inherited(name: &str, path: &str, place: Place, tree: &Tree, reading: &mut Reading<'_>) {
    let Some(Node { value: Value::Map(limits), .. }) = tree.at(&["resources"]) else { return };
    let own = tree.at(&["roles", name, "resources"]);
    for limit in limits {
        let has = matches!(own, Some(Node { value: Value::Map(own), .. }) if own.iter().any(|own| own.key == limit.key));
        if !has {
            let message = format!(
                "the service has a limit of {}, and this role none: here it would have the same",
                limit.key
            );
            let inherited = Problem::new(path, place, message);
            reading.problems.add(inherited.hint("say the role's own limit too, in its `options`"));
        }
    }
}
