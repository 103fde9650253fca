//! `env`: what is in the clear and what is secret; by role, and by the tags of hosts. Kamal hands what is in the clear to `docker run`
//! itself, and all that is secret in a file, over which the former counts.

use cutover_core::tree::{Node, Value};
use cutover_core::{Place, Problem};

use super::servers::{Host, Role, Servers, native_name};
use crate::reading::{Item, Reading};
use crate::secrets::NoSecret;
use crate::tree::Tree;
use crate::variable::{self, Variable};

/// A variable and where it stands.
#[derive(Clone)]
struct Named {
    name: String,
    place: Place,
    path: String,
    /// None where Kamal leaves it unset.
    value: Option<Variable>,
    /// The item of `secret` that it is, if it is one.
    secret: Option<String>,
}

impl Named {
    /// Says something of it.
    fn item(&self, say: impl FnOnce(&Item<'_>)) {
        let node = Node { place: self.place, value: Value::Null };
        say(&Item { path: self.path.clone(), place: self.place, node: &node });
    }

    fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

/// The tags that there are, each with its variables.
type Tags = Vec<(String, Vec<Named>)>;

/// The variables of the service and its roles.
pub(crate) fn environment(
    item: Option<&Item<'_>>,
    servers: &Servers<'_>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    let mut tags = Tags::new();
    let base = item.map(|item| variables(item, Some(&mut tags), reading)).unwrap_or_default();
    let mut all = base.clone();
    let mut of_role = |role: &Role<'_>, reading: &mut Reading<'_>| {
        let own = role.env.as_ref().map(|item| variables(item, None, reading)).unwrap_or_default();
        all.extend(own.clone());
        on_all_hosts(role, &[&base, &own], &tags, reading)
    };
    let service = of_role(servers.primary(), reading);
    put(&service, &["env"], tree, reading);
    let mut counts: Vec<Place> = service.iter().map(|one| one.place).collect();
    for role in servers.others() {
        let Some(name) = native_name(role, reading) else { continue };
        let wanted = of_role(role, reading);
        counts.extend(wanted.iter().map(|one| one.place));
        // What a role has there is laid over what the service has: only what is different is said again.
        let over: Vec<Named> =
            wanted.iter().filter(|one| !service.iter().any(|other| other.is(one))).cloned().collect();
        put(&over, &["roles", &name, "env"], tree, reading);
        for one in service.iter().filter(|one| !wanted.iter().any(|other| other.name == one.name)) {
            tree.push(&["roles", &name, "without"], one.place, &*one.name);
            one.item(|item| reading.turned(item, format!("role '{name}' is without it")));
        }
    }
    for (name, variables) in tags {
        let is_used =
            servers.roles.iter().any(|role| role.hosts.iter().any(|host| host.tags.contains(&name)));
        if is_used {
            all.extend(variables);
            continue;
        }
        for one in variables {
            one.item(|item| reading.idle(item, format!("no host has the tag '{name}'")));
        }
    }
    for one in all.iter().filter(|one| !counts.contains(&one.place)) {
        let how = match one.value {
            Some(_) => "another one of that name takes its place",
            None => "without a value it is not set, as with Kamal; one that the image has by that name stays",
        };
        one.item(|item| reading.turned(item, how));
    }
}

/// The variables that all hosts of a role have, with those of their tags over the role's own: a host has none for itself here.
fn on_all_hosts(role: &Role<'_>, own: &[&[Named]], tags: &Tags, reading: &mut Reading<'_>) -> Vec<Named> {
    for (tag, _) in tags {
        let has = |host: &&Host| host.tags.contains(tag);
        let Some(host) = role.hosts.iter().find(has) else { continue };
        if !role.hosts.iter().all(|host| has(&host)) {
            let message =
                format!("the tag '{tag}' gives variables to some hosts of role '{}' alone", role.name);
            let some = Problem::new(&host.path, host.place, message);
            reading.problems.add(some.hint(
                "all hosts of a destination have the same variables here: make a destination of these hosts, or give the tag to all of them",
            ));
            return Vec::new();
        }
    }
    let of_host = |host: &Host| {
        let its = host.tags.iter().filter_map(|tag| tags.iter().find(|(name, _)| name == tag));
        laid_over(own.iter().copied().chain(its.map(|(_, all)| all.as_slice())))
    };
    let Some((first, others)) = role.hosts.split_first() else { return laid_over(own.iter().copied()) };
    let all = of_host(first);
    for host in others {
        let its = of_host(host);
        if its.len() != all.len() || !its.iter().all(|one| all.iter().any(|other| other.is(one))) {
            let message = format!(
                "its tags are in another order than those of {}, and give one variable different values",
                first.name
            );
            let other = Problem::new(&host.path, host.place, message);
            reading.problems.add(other.hint("the last tag counts: list them in the same order on all hosts"));
        }
    }
    all
}

/// What Kamal gives a container of these layers, the later ones over the earlier: of each name the clear value, in whichever layer it
/// stands, and without one that has a value the last secret.
fn laid_over<'n>(layers: impl Iterator<Item = &'n [Named]>) -> Vec<Named> {
    let (mut clear, mut secrets) = (Vec::<&Named>::new(), Vec::<&Named>::new());
    for one in layers.flatten() {
        if one.secret.is_none() {
            clear.retain(|other| other.name != one.name);
            clear.push(one);
        } else if !secrets.iter().any(|other| other.secret == one.secret) {
            secrets.push(one);
        }
    }
    clear.retain(|one| one.value.is_some());
    let mut all: Vec<Named> = Vec::new();
    for one in secrets.into_iter().chain(clear) {
        all.retain(|other| other.name != one.name);
        all.push(one.clone());
    }
    all
}

fn put(variables: &[Named], to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    for one in variables {
        let Some(value) = &one.value else { continue };
        let path: Vec<&str> = to.iter().copied().chain([value.section(), &one.name]).collect();
        tree.text(&path, one.place, value.text());
        one.item(|item| reading.carried(item, &path));
    }
}

/// The variables of a section, and where `tags` may stand, those of each tag.
fn variables(
    item: &Item<'_>,
    tags: Option<&mut Vec<(String, Vec<Named>)>>,
    reading: &mut Reading<'_>,
) -> Vec<Named> {
    let Some(mut keys) = reading.keys(item) else { return Vec::new() };
    let mut all = Vec::new();
    let is_split = keys.entries.iter().any(|entry| matches!(entry.key.as_str(), "clear" | "secret" | "tags"));
    if !is_split {
        for (name, item) in keys.all() {
            all.extend(clear(name, &item, reading));
        }
        return all;
    }
    if let Some(item) = keys.take("clear")
        && let Some(keys) = reading.keys(&item)
    {
        for (name, item) in keys.all() {
            all.extend(clear(name, &item, reading));
        }
    }
    if let Some(item) = keys.take("secret") {
        for item in reading.items(&item) {
            all.extend(secret(&item, reading));
        }
    }
    if let Some(tags) = tags
        && let Some(item) = keys.take("tags")
        && let Some(keys) = reading.keys(&item)
    {
        for (name, item) in keys.all() {
            let of_tag = variables(&item, None, reading);
            tags.push((name.to_owned(), of_tag));
        }
    }
    keys.done(reading, |key| (key == "tags").then_some("tags stand in the `env` at the top"));
    all
}

fn clear(name: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Named> {
    let named = |value| Named {
        name: name.to_owned(),
        place: item.place,
        path: item.path.clone(),
        value,
        secret: None,
    };
    let text = if let Value::Text(text) = &item.node.value { text.as_str() } else { "" };
    if matches!(item.node.value, Value::Null | Value::Text(_)) && text.trim().is_empty() {
        return Some(named(None));
    }
    // Kamal writes each $ so that the host's shell leaves it alone, but for these.
    if text.split_once("${").is_some_and(|(_, after)| after.contains('}')) {
        reading.wrong(
            item,
            "Kamal lets the shell of each host fill in ${…}, and no shell reads it here",
            "write the value, or let whoever deploys have it: <%= ENV[\"NAME\"] %>, or a name in `secret`",
        );
        return None;
    }
    Some(named(Some(variable::clear(item, reading)?)))
}

/// `NAME`, or `NAME:SECRET` where the secret is called otherwise.
fn secret(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Named> {
    let text = reading.text(item)?;
    let (name, secret) = text.split_once(':').unwrap_or((&text, &text));
    let reference = by_name(secret, item, reading)?;
    Some(Named {
        name: name.to_owned(),
        place: item.node.place,
        path: item.path.clone(),
        value: Some(Variable::Secret(reference)),
        secret: Some(text),
    })
}

/// The reference to a secret of `.kamal/secrets`.
pub(crate) fn by_name(name: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let no = match reading.secrets.reference(name) {
        Ok((reference, is_literal)) => {
            reading.turned(
                item,
                if is_literal { "a reference to the value, which stays in its file" } else { "a reference" },
            );
            return Some(reference);
        }
        Err(no) => no,
    };
    // What doesn't look like a name may be the secret itself.
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !is_name {
        reading.problems.hide(item.node);
    }
    let (quoted, name) = if is_name { (format!(" '{name}'"), name) } else { (String::new(), "NAME") };
    let (message, hint) = match no {
        NoSecret::Unknown(files) => (format!("the secret{quoted} is in none of {files}"), "add it there"),
        NoSecret::Unread { file, line, why } => (
            format!("the secret{quoted} can't be referred to: {file}, line {line}: {why}"),
            "let a variable or a command have the value",
        ),
    };
    reading.wrong(item, message, format!("{hint}: {name}=${name}, or {name}=$(command)"));
    None
}
