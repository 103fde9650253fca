//! Kamal 2's `config/deploy.yml`, by its documented rules: one destination of it, as the native file that says the same.

mod builder;
mod env;
mod options;
mod proxy;
mod servers;

use cutover_core::Place;
use cutover_core::tree::{Form, Node, Value};

use crate::native::as_docker_gives;
use crate::reading::{Item, Reading};
use crate::tree::Tree;
pub(crate) use options::{Whose, one as option};
use servers::Servers;

/// What such a file is.
pub(crate) const FORM: Form = Form {
    shortest: "the shortest file of Kamal that works has `service: <name>`, `image: <name>` and `servers: [<address>]`",
    single: "a file of Kamal is one: one service",
};

/// Hooks that Kamal runs where it finds them, each with its key here.
const HOOKS: [(&str, Option<&str>); 9] = [
    ("docker-setup", None),
    ("pre-connect", None),
    ("pre-build", Some("before_build")),
    ("pre-deploy", Some("before_deploy")),
    ("pre-app-boot", None),
    ("post-app-boot", None),
    ("post-deploy", Some("after_deploy")),
    ("pre-proxy-reboot", None),
    ("post-proxy-reboot", None),
];

/// Seconds that Kamal lets a role without traffic run before it is taken for a good one, and has it end.
const READINESS_DELAY: &str = "7s";
const DRAIN_TIMEOUT: &str = "30s";

/// The network that Kamal puts every container on.
const NETWORK: &str = "kamal";

/// The variable in which Kamal tells a container its destination.
const DESTINATION: &str = "KAMAL_DESTINATION";

/// A destination that is being read: as Kamal names it, if it does, and as the native file does.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) kamal: Option<&'a str>,
    pub(crate) name: &'a str,
}

/// The native file of one destination; `root` is the file with the destination's laid over it.
pub(crate) fn native(root: &Node, here: Here<'_>, reading: &mut Reading<'_>) -> Option<Node> {
    let mut tree = Tree::default();
    let whole = Item { path: String::new(), place: root.place, node: root };
    let mut keys = reading.keys(&whole)?;
    secrets(keys.take("secrets_path"), here, reading);
    match keys.take("service") {
        Some(item) => service(&item, &mut tree, reading),
        None => missing("service", "name the service: `service: <name>`", reading),
    }
    let (image, registry, built) = (keys.take("image"), keys.take("registry"), keys.take("builder"));
    builder::image(image, registry, built, &mut tree, reading);
    let env = keys.take("env");
    let primary = keys.take("primary_role");
    let primary = match primary {
        Some(item) => {
            reading.turned(&item, "this role is the service itself");
            reading.text(&item).unwrap_or_default()
        }
        None => "web".to_owned(),
    };
    let allows_empty = keys.take("allow_empty_roles").and_then(|item| {
        reading.idle(&item, "a role without hosts is left out");
        reading.flag(&item)
    });
    let nowhere = Node { place: root.place, value: Value::Map(Vec::new()) };
    let servers = keys.take("servers");
    if servers.is_none() {
        missing("servers", "say where it runs: `servers: [<address>]`", reading);
    }
    let none = Item { path: "servers".to_owned(), place: root.place, node: &nowhere };
    let servers = match servers {
        Some(servers) => Servers::read(&servers, &primary, allows_empty.unwrap_or_default(), reading),
        None => Servers::none(&none),
    };
    as_docker_gives(&mut tree, servers.place);
    tree.push(&["container", "networks"], servers.place, NETWORK);
    proxy::proxy(keys.take("proxy"), servers.primary().proxy.as_ref(), &mut tree, reading);
    let steady = seconds_or(keys.take("readiness_delay"), READINESS_DELAY, reading);
    let drain = seconds_or(keys.take("drain_timeout"), DRAIN_TIMEOUT, reading);
    let stop = keys.take("stop_timeout");
    let role_stop = stop.clone().map_or(drain, |item| seconds_or(Some(item), DRAIN_TIMEOUT, reading));
    for (item, to) in
        [(keys.take("deploy_timeout"), "ready"), (keys.take("drain_timeout"), "drain"), (stop, "stop")]
    {
        if let Some(item) = item {
            reading.carry_seconds(&mut tree, &item, &["timeouts", to]);
        }
    }
    servers.hosts(here, &mut tree, reading);
    container(
        [keys.take("labels"), keys.take("volumes"), keys.take("logging"), keys.take("asset_path")],
        &servers,
        &mut tree,
        reading,
    );
    servers.roles(&role_stop, &steady, &mut tree, reading);
    env::environment(env.as_ref(), &servers, &mut tree, reading);
    // What else Kamal sets is different in each container.
    let is_set = |section| tree.names(&["env", section]).iter().any(|name| name == DESTINATION);
    if let Some(name) = here.kamal
        && !is_set("clear")
        && !is_set("secret")
    {
        tree.text(&["env", "clear", DESTINATION], servers.place, name);
    }
    if let Some(item) = keys.take("retain_containers") {
        reading.carry_number(&mut tree, &item, &["retain"]);
    }
    if let Some(item) = keys.take("ssh") {
        ssh(&item, &mut tree, reading);
    }
    if let Some(item) = keys.take("accessories") {
        accessories(&item, reading);
    }
    if let Some(item) = keys.take("boot") {
        boot(&item, reading);
    }
    hooks(keys.take("hooks_path"), servers.place, &mut tree, reading);
    for (key, why) in [
        ("aliases", "an alias is another name of a command of Kamal's; an alias of the shell does it here"),
        ("minimum_version", "it is a version of Kamal"),
        ("run_directory", "nothing of Cutover's lies there"),
        ("hooks_output", "what hooks write is shown as it comes"),
        ("sshkit", "connections are shared and kept open as they are needed"),
    ] {
        if let Some(item) = keys.take(key) {
            reading.idle(&item, why);
        }
    }
    if let Some(item) = keys.take("require_destination") {
        reading.turned(&item, "only the files of destinations are some");
    }
    for (key, why) in [
        (
            "error_pages_path",
            "the proxy has pages of its own for its own answers; those of the application come through",
        ),
        (
            "output",
            "the journal keeps what was done: `cutover history`, `cutover audit`, `cutover logs --deployment`",
        ),
        (
            "rollout",
            "a canary splits the traffic by itself: `canary: {steps: [{weight: 5%}]}` in the native file",
        ),
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
    keys.without("x-", &mut own).done(reading, |key| match key {
        "traefik" | "healthcheck" => {
            Some("this is a key of Kamal 1: `kamal upgrade` and Kamal's own documents say what it became")
        }
        "destinations" | "port" | "replicas" => {
            Some("this is a key of cutover.yaml: one file is in one of both dialects")
        }
        _ => None,
    });
    Some(tree.finish())
}

fn missing(key: &str, hint: &str, reading: &mut Reading<'_>) {
    reading.problems.add(cutover_core::Problem::new(key, None, "missing").hint(hint));
}

/// The secrets that hold at a destination.
fn secrets(path: Option<Item<'_>>, here: Here<'_>, reading: &mut Reading<'_>) {
    let path = match path {
        Some(item) => {
            let path = reading.text(&item);
            reading.turned(&item, "its secrets are references to what stands there");
            path.unwrap_or_default()
        }
        None => ".kamal/secrets".to_owned(),
    };
    let own = here.kamal.map_or_else(|| path.clone(), |name| format!("{path}.{name}"));
    reading.secrets = Default::default();
    for file in [format!("{path}-common"), own] {
        let text = (reading.around.text_of)(&file);
        reading.secrets.add(&file, text.as_deref());
    }
}

/// Names have fewer letters than Kamal's.
fn service(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(name) = reading.text(item) else { return };
    let fitting = name.to_ascii_lowercase().replace('_', "-");
    if fitting != name {
        reading.turned(item, format!("a name has small letters, digits and - here: {fitting}"));
    }
    reading.changed(
        item,
        &["service"],
        "its containers have no KAMAL_VERSION, KAMAL_CONTAINER_NAME and KAMAL_HOST",
    );
    tree.text(&["service"], item.node.place, fitting);
}

fn seconds_or(item: Option<Item<'_>>, usual: &str, reading: &mut Reading<'_>) -> String {
    let Some(item) = item else { return usual.to_owned() };
    let Some(number) = reading.number(&item) else { return usual.to_owned() };
    reading.turned(&item, "it holds for roles without traffic");
    format!("{number}s")
}

/// What there is of the container beside `docker run`'s options.
fn container(
    [labels, volumes, logging, assets]: [Option<Item<'_>>; 4],
    servers: &Servers<'_>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    let primary = servers.primary();
    for item in labels.iter().chain(&primary.labels) {
        let Some(part) = reading.keys(item) else { continue };
        for (name, item) in part.all() {
            reading.carry(tree, &item, &["container", "labels", name]);
        }
    }
    if let Some(item) = volumes {
        for item in reading.items(&item) {
            if let Some(volume) = reading.text(&item) {
                tree.push(&["container", "volumes"], item.node.place, volume);
                reading.carried(&item, &["container", "volumes"]);
            }
        }
    }
    // The role's over the file's, key by key.
    for item in logging.iter().chain(&primary.logging) {
        let Some(mut part) = reading.keys(item) else { continue };
        if let Some(item) = part.take("driver") {
            reading.carry(tree, &item, &["container", "logging", "driver"]);
        }
        let options = part.take("options").and_then(|item| reading.keys(&item));
        for (name, item) in options.iter().flat_map(|options| options.all()) {
            reading.carry(tree, &item, &["container", "logging", "options", name]);
        }
        part.done(reading, |_| None);
    }
    for (item, what) in [(&primary.labels, "labels"), (&primary.logging, "logging")] {
        if let Some(item) = item
            && servers.others().next().is_some()
        {
            reading.left(item, format!("the roles beside the service have its {what} too"));
        }
    }
    if let (Some(item), Some(_)) = (&assets, &primary.asset_path) {
        reading.turned(item, "the role that is the service has one of its own");
    }
    if let Some(item) = primary.asset_path.as_ref().or(assets.as_ref()) {
        let Some(text) = reading.text(item) else { return };
        let (path, options) = text.split_once(':').unwrap_or((&text, ""));
        if options.is_empty() {
            reading.carried(item, &["container", "assets"]);
        } else {
            reading.changed(
                item,
                &["container", "assets"],
                format!("without the options of its mount, {options}"),
            );
        }
        tree.text(&["container", "assets"], item.node.place, path);
    }
}

fn ssh(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    if let Some(item) = keys.take("user") {
        reading.carry(tree, &item, &["ssh", "user"]);
    }
    if let Some(item) = keys.take("port") {
        reading.carry_number(tree, &item, &["ssh", "port"]);
    }
    for (key, why) in [
        ("proxy", "jump hosts are those of ~/.ssh/config: `ProxyJump` for these hosts"),
        ("proxy_command", "it is that of ~/.ssh/config: `ProxyCommand` for these hosts"),
        ("keys", "keys are those of ~/.ssh/config (`IdentityFile`), of the agent, or CUTOVER_SSH_KEY"),
        ("keys_only", "it is `IdentitiesOnly` of ~/.ssh/config"),
        ("config", "~/.ssh/config is read, or what CUTOVER_SSH_CONFIG names"),
        ("forward_agent", "no agent is forwarded to a host"),
    ] {
        if let Some(item) = keys.take(key) {
            reading.left(&item, why);
        }
    }
    if let Some(item) = keys.take("key_data") {
        reading.problems.hide(item.node);
        reading.left(&item, "a key is a file, of ~/.ssh/config or CUTOVER_SSH_KEY, or in the agent");
    }
    for key in ["log_level", "max_connections"] {
        if let Some(item) = keys.take(key) {
            reading.idle(&item, "it is about Kamal's own client; -v shows more here");
        }
    }
    keys.done(reading, |_| None);
}

/// What runs beside the service stays as it is, and the service reaches it where Kamal has put it.
fn accessories(item: &Item<'_>, reading: &mut Reading<'_>) {
    let Some(keys) = reading.keys(item) else { return };
    for (_, item) in keys.all() {
        reading.left(
            &item,
            "it stays as it is: Cutover doesn't touch it, and Kamal goes on with it (`kamal accessory …`)",
        );
    }
    reading.turned(item, "the service finds them by their names, on Kamal's network");
}

fn boot(item: &Item<'_>, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    for key in ["limit", "wait"] {
        if let Some(item) = keys.take(key) {
            reading.left(
                &item,
                "all hosts boot beside what serves, and switch once every one is ready; `canary: {steps: [{hosts: 1}]}` of the native file begins with some",
            );
        }
    }
    if let Some(item) = keys.take("parallel_roles") {
        reading.idle(&item, "roles boot side by side");
    }
    keys.done(reading, |_| None);
}

fn hooks(path: Option<Item<'_>>, place: Place, tree: &mut Tree, reading: &mut Reading<'_>) {
    let folder =
        path.as_ref().and_then(|item| reading.text(item)).unwrap_or_else(|| ".kamal/hooks".to_owned());
    if let Some(item) = &path {
        reading.turned(item, "what is there is told below");
    }
    for (hook, key) in HOOKS {
        let file = format!("{folder}/{hook}");
        let Some(text) = (reading.around.text_of)(&file) else { continue };
        match key {
            Some(_) if calls_kamal(&text) => {
                reading.left_file(
                    &file,
                    "it calls `kamal`, which knows nothing of what runs here: do it without",
                );
            }
            Some(key) => {
                tree.list(&["hooks", key], place, vec![(place, file.clone())]);
                reading.carried_file(&file, &["hooks", key]);
            }
            None => {
                let why = "there is no such step here: do before or after `cutover deploy` what it does";
                reading.left_file(&file, why);
            }
        }
    }
}

/// Whether a script has Kamal's command in a line that is no comment.
fn calls_kamal(script: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || "\"'`$();&|".contains(c);
    let code = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(|line| line.split(ends)).any(|word| word == "kamal" || word.ends_with("/kamal"))
}

/// The words that a command is made of.
pub(crate) fn command(item: &Item<'_>, to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(text) = reading.text(item) else { return };
    let Some(words) = crate::shell::words(&text).filter(|words| !words.is_empty()) else {
        reading.wrong(
            item,
            "Kamal lets the host's shell read this command, and no shell reads it here",
            "let one of the image do it: `cmd: sh -c '…'`",
        );
        return;
    };
    tree.list(to, item.node.place, words.into_iter().map(|word| (item.node.place, word)).collect());
    reading.carried(item, to);
}
