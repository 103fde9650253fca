//! `env`: what is in the clear and what is secret; by role, and by the tags of hosts.

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
    value: Variable,
}

impl Named {
    /// Says something of it.
    fn item(&self, say: impl FnOnce(&Item<'_>)) {
        let node = Node { place: self.place, value: Value::Null };
        say(&Item { path: self.path.clone(), place: self.place, node: &node });
    }
}

/// The variables of the service and its roles.
pub(crate) fn environment(
    item: Option<&Item<'_>>,
    servers: &Servers<'_>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    let mut tags: Vec<(String, Vec<Named>)> = Vec::new();
    let base = item.map(|item| variables(item, Some(&mut tags), reading)).unwrap_or_default();
    let primary = servers.primary();
    let own = primary.env.as_ref().map(|item| variables(item, None, reading)).unwrap_or_default();
    let everywhere = common_tags(primary, &tags, reading);
    let tagged = |names: &[String]| -> Vec<Named> {
        tags.iter().filter(|(name, _)| names.contains(name)).flat_map(|(_, all)| all.clone()).collect()
    };
    let service = laid_over(laid_over(base.clone(), own.clone()), tagged(&everywhere));
    put(&service, &["env"], tree, reading);
    for role in servers.others() {
        let Some(name) = native_name(role, reading) else { continue };
        let of_role = role.env.as_ref().map(|item| variables(item, None, reading)).unwrap_or_default();
        let its_tags = common_tags(role, &tags, reading);
        let wanted = laid_over(laid_over(base.clone(), of_role), tagged(&its_tags));
        // What a role has there is laid over what the service has: only what is different is said again.
        let different =
            |one: &&Named| !service.iter().any(|other| other.name == one.name && other.value == one.value);
        let over: Vec<Named> = wanted.iter().filter(different).cloned().collect();
        put(&over, &["roles", &name, "env"], tree, reading);
        for one in service.iter().filter(|one| !wanted.iter().any(|other| other.name == one.name)) {
            one.item(|item| {
                reading.turned(item, format!("role '{name}' has it too, as it has all that the service has"))
            });
        }
    }
    for one in base.iter().chain(&own) {
        one.item(|item| reading.otherwise(item, "another one of that name takes its place"));
    }
    for (name, all) in &tags {
        let is_used = servers.roles.iter().any(|role| role.hosts.iter().any(|host| host.tags.contains(name)));
        if !is_used {
            for one in all {
                one.item(|item| reading.idle(item, format!("no host has the tag '{name}'")));
            }
        }
    }
}

/// The tags with variables that all hosts of a role have: a host has no variables of its own here.
fn common_tags(role: &Role<'_>, tags: &[(String, Vec<Named>)], reading: &mut Reading<'_>) -> Vec<String> {
    let mut common = Vec::new();
    for (tag, _) in tags {
        let has = |host: &&Host| host.tags.contains(tag);
        let with = role.hosts.iter().filter(has).count();
        if with == role.hosts.len() {
            common.push(tag.clone());
        } else if let Some(host) = role.hosts.iter().find(has) {
            let message =
                format!("the tag '{tag}' gives variables to some hosts of role '{}' alone", role.name);
            let some = Problem::new(&host.path, host.place, message);
            reading.problems.add(some.hint(
                "all hosts of a destination have the same variables here: make a destination of these hosts, or give the tag to all of them",
            ));
        }
    }
    common
}

fn laid_over(under: Vec<Named>, over: Vec<Named>) -> Vec<Named> {
    let mut all = under;
    for one in over {
        match all.iter_mut().find(|other| other.name == one.name) {
            Some(other) => *other = one,
            None => all.push(one),
        }
    }
    all
}

fn put(variables: &[Named], to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    for one in variables {
        let path: Vec<&str> = to.iter().copied().chain([one.value.section(), &one.name]).collect();
        tree.text(&path, one.place, one.value.text());
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
    let value = variable::clear(item, reading)?;
    Some(Named { name: name.to_owned(), place: item.place, path: item.path.clone(), value })
}

/// `NAME`, or `NAME:SECRET` where the secret is called otherwise.
fn secret(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Named> {
    let text = reading.text(item)?;
    let (name, secret) = text.split_once(':').unwrap_or((&text, &text));
    let reference = by_name(secret, item, reading)?;
    let value = Variable::Secret(reference);
    Some(Named { name: name.to_owned(), place: item.node.place, path: item.path.clone(), value })
}

/// The reference to a secret of `.kamal/secrets`.
pub(crate) fn by_name(name: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    match reading.secrets.reference(name) {
        Ok((reference, is_literal)) => {
            reading.turned(
                item,
                if is_literal { "a reference to the value, which stays in its file" } else { "a reference" },
            );
            Some(reference)
        }
        Err(NoSecret::Unknown(files)) => {
            reading.wrong(
                item,
                format!("the secret '{name}' is in none of {files}"),
                format!("add it there: {name}=${name}, or {name}=$(command)"),
            );
            None
        }
        Err(NoSecret::Unread { file, line, why }) => {
            reading.wrong(
                item,
                format!("the secret '{name}' can't be referred to: {file}, line {line}: {why}"),
                format!("let a variable or a command have the value: {name}=${name}, or {name}=$(command)"),
            );
            None
        }
    }
}
