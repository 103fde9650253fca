//! `servers`: hosts, by role where there are roles. The primary role is the service itself, and all others are roles beside it.

use cutover_core::tree::{Node, Value};
use cutover_core::{Place, Problem};

use super::options::{self, Whose};
use super::{Here, command};
use crate::reading::{Item, Reading};
use crate::tree::Tree;

/// All roles.
pub(crate) struct Servers<'n> {
    pub(crate) place: Place,
    primary: usize,
    pub(crate) roles: Vec<Role<'n>>,
}

/// A role as it stands there.
#[derive(Default)]
pub(crate) struct Role<'n> {
    pub(crate) name: String,
    place: Option<Place>,
    pub(crate) hosts: Vec<Host>,
    cmd: Option<Item<'n>>,
    options: Option<Item<'n>>,
    pub(crate) env: Option<Item<'n>>,
    pub(crate) labels: Option<Item<'n>>,
    pub(crate) logging: Option<Item<'n>>,
    pub(crate) proxy: Option<Item<'n>>,
    pub(crate) asset_path: Option<Item<'n>>,
    stop: Option<Item<'n>>,
}

/// A host and its tags.
pub(crate) struct Host {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
}

impl<'n> Servers<'n> {
    /// Where something is wrong, the problems say so, and what could be read is there.
    pub(crate) fn read(
        item: &Item<'n>,
        primary: &str,
        allows_empty: bool,
        reading: &mut Reading<'_>,
    ) -> Self {
        let mut roles = Vec::new();
        if let Value::Map(_) = item.node.value {
            let keys = reading.keys(item);
            for (name, item) in keys.iter().flat_map(|keys| keys.all()) {
                let role = Role { name: name.to_owned(), place: Some(item.place), ..role(&item, reading) };
                if !role.hosts.is_empty() {
                    reading.turned(
                        &item,
                        if name == primary {
                            "it is the service itself"
                        } else {
                            "a role beside the service"
                        },
                    );
                    roles.push(role);
                } else if allows_empty {
                    reading.idle(&item, "it has no hosts");
                } else {
                    reading.wrong_key(&item, "no hosts", "name some, or say `allow_empty_roles: true`");
                }
            }
        } else {
            let hosts = hosts(item, reading);
            if hosts.is_empty() && !matches!(&item.node.value, Value::List(items) if !items.is_empty()) {
                reading.wrong_key(item, "no hosts", "say where it runs: `servers: [<address>]`");
            }
            roles.push(Role { name: primary.to_owned(), place: Some(item.place), hosts, ..Role::default() });
        }
        let index = roles.iter().position(|role| role.name == primary).unwrap_or_else(|| {
            // Of one that is there and has no hosts, that was said.
            if !matches!(&item.node.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == primary)) {
                reading.wrong_key(
                    item,
                    format!("there is no role '{primary}', which is to have the traffic"),
                    "name the one that has it: `primary_role: <name>`",
                );
            }
            roles.push(Role { name: primary.to_owned(), place: Some(item.place), ..Role::default() });
            roles.len() - 1
        });
        Self { place: item.place, primary: index, roles }
    }

    /// None at all.
    pub(crate) fn none(item: &Item<'n>) -> Self {
        Self { place: item.place, primary: 0, roles: vec![Role::default()] }
    }

    pub(crate) fn primary(&self) -> &Role<'n> {
        #[allow(clippy::indexing_slicing)]
        &self.roles[self.primary]
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = &Role<'n>> {
        self.roles.iter().enumerate().filter(|(index, _)| *index != self.primary).map(|(_, role)| role)
    }

    /// The hosts of the destination, and how the service runs there.
    pub(crate) fn hosts(&self, here: Here<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
        let primary = self.primary();
        let hosts = primary.hosts.iter().map(|host| (host.place, host.name.clone())).collect();
        let to = ["destinations", here.name, "hosts"];
        tree.list(&to, self.place, hosts);
        if let Some(item) = &primary.cmd {
            command(item, &["command"], tree, reading);
        }
        if let Some(item) = &primary.options {
            options::options(item, Whose::Service, tree, reading);
        }
        if let Some(item) = &primary.stop {
            reading.carry_seconds(tree, item, &["timeouts", "stop"]);
        }
    }

    /// The roles beside the service. Unless a role says so itself, it has `stop` seconds to end and runs for `steady` before it is good.
    pub(crate) fn roles(&self, stop: &str, steady: &str, tree: &mut Tree, reading: &mut Reading<'_>) {
        for role in self.others() {
            let Some(name) = native_name(role, reading) else { continue };
            self.role(role, &name, tree, reading);
            let place = role.place.unwrap_or(self.place);
            if let Some(item) = &role.stop {
                reading.carry_seconds(tree, item, &["roles", &name, "stop_timeout"]);
            } else {
                tree.text(&["roles", &name, "stop_timeout"], place, stop);
            }
            tree.text(&["roles", &name, "steady"], place, steady);
        }
    }

    fn role(&self, role: &Role<'_>, name: &str, tree: &mut Tree, reading: &mut Reading<'_>) {
        let place = role.place.unwrap_or(self.place);
        let (path, primary) = (format!("servers.{}", role.name), self.primary());
        match &role.cmd {
            Some(item) => command(item, &["roles", name, "command"], tree, reading),
            None => reading.problems.add(
                Problem::new(&path, place, "a role without traffic needs a command of its own here")
                    .hint("say what it runs, even if it is the image's own: `cmd: bin/server`"),
            ),
        }
        for host in &role.hosts {
            if !primary.hosts.is_empty() && !primary.hosts.iter().any(|known| known.name == host.name) {
                let message = format!(
                    "role '{}' runs on {}, where role '{}' doesn't",
                    role.name, host.name, primary.name
                );
                let elsewhere = Problem::new(&host.path, host.place, message);
                reading.problems.add(elsewhere.hint(format!(
                    "Cutover runs the service on each host of a destination: add this one to role '{}', or deploy the role as a service of its own",
                    primary.name
                )));
            }
        }
        let everywhere = primary.hosts.iter().all(|host| role.hosts.iter().any(|own| own.name == host.name));
        if !everywhere {
            let hosts = role.hosts.iter().map(|host| (host.place, host.name.clone())).collect();
            tree.list(&["roles", name, "hosts"], place, hosts);
        }
        let of_service = primary.options.as_ref();
        if let Some(item) = &role.options {
            options::options(item, Whose::Role(name, of_service), tree, reading);
        }
        options::only_the_services(of_service, role.options.as_ref(), (name, &path, place), reading);
        options::not_inherited(name, &path, place, tree, reading);
        if let Some(item) = &role.proxy {
            let is_off =
                matches!(&item.node.value, Value::Text(text) if crate::reading::truth(text) == Some(false));
            if is_off {
                reading.turned(item, "a role beside the service has no traffic");
            } else {
                reading.wrong_key(
                    item,
                    format!(
                        "role '{}' is to have traffic too, and here only role '{}' has",
                        role.name, primary.name
                    ),
                    "deploy it as a service of its own, from a file of its own",
                );
            }
        }
        for (item, what) in
            [(&role.labels, "labels"), (&role.logging, "logging"), (&role.asset_path, "assets")]
        {
            if let Some(item) = item {
                reading.left(item, format!("a role has the {what} of the service"));
            }
        }
    }
}

/// The name that a role has here.
pub(crate) fn native_name(role: &Role<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = role.name.to_ascii_lowercase().replace('_', "-");
    if name != role.name
        && let Some(place) = role.place
    {
        let node = Node { place, value: Value::Null };
        let item = Item { path: format!("servers.{}", role.name), place, node: &node };
        reading.turned(&item, format!("a name has small letters, digits and - here: {name}"));
    }
    Some(name)
}

/// A role: its hosts alone, or all that may be said of one.
fn role<'n>(item: &Item<'n>, reading: &mut Reading<'_>) -> Role<'n> {
    if !matches!(item.node.value, Value::Map(_)) {
        return Role { hosts: hosts(item, reading), ..Role::default() };
    }
    let Some(mut keys) = reading.keys(item) else { return Role::default() };
    let role = Role {
        hosts: keys.take("hosts").map(|item| hosts(&item, reading)).unwrap_or_default(),
        cmd: keys.take("cmd"),
        options: keys.take("options"),
        env: keys.take("env"),
        labels: keys.take("labels"),
        logging: keys.take("logging"),
        proxy: keys.take("proxy"),
        asset_path: keys.take("asset_path"),
        stop: keys.take("stop_timeout"),
        ..Role::default()
    };
    if let Some(item) = keys.take("rollout") {
        reading.left(&item, "a canary splits the traffic by itself: `canary` of the native file");
    }
    if let Some(item) = keys.take("error_pages_path") {
        reading.left(&item, "the proxy has pages of its own for its own answers");
    }
    keys.done(reading, |key| match key {
        "healthcheck" => Some("this is a key of Kamal 1: it is `proxy: {healthcheck: …}` in Kamal 2"),
        "command" => Some("it is called `cmd` there"),
        "traefik" => Some("this is a key of Kamal 1: it is `proxy` in Kamal 2"),
        _ => None,
    });
    role
}

/// Hosts, each with its tags if it has any.
fn hosts(item: &Item<'_>, reading: &mut Reading<'_>) -> Vec<Host> {
    let mut all = Vec::new();
    for item in reading.items(item) {
        match &item.node.value {
            Value::Map(entries) => {
                let [entry] = entries.as_slice() else {
                    reading.wrong(
                        &item,
                        "expected one host and its tags",
                        "write each host on a line of its own",
                    );
                    continue;
                };
                let tags = Item {
                    path: format!("{}.{}", item.path, entry.key),
                    place: entry.place,
                    node: &entry.node,
                };
                let tags: Vec<String> =
                    reading.items(&tags).into_iter().filter_map(|tag| reading.text(&tag)).collect();
                reading.turned(&item, "its tags say which variables it has");
                all.push(Host { place: entry.place, path: item.path.clone(), name: entry.key.clone(), tags });
            }
            _ => {
                let Some(name) = reading.text(&item) else { continue };
                reading.turned(&item, "a host of the destination");
                all.push(Host { place: item.node.place, path: item.path.clone(), name, tags: Vec::new() });
            }
        }
    }
    all
}
