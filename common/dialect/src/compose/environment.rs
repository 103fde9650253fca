//! `environment` and `env_file`: what a container finds in its environment.

use cutover_core::tree::Value;

use super::interpolation::{text, variable};
use crate::reading::{Item, Keys, Reading};
use crate::tree::Tree;
use crate::variable::Variable;

/// `environment`, and the files that `env_file` names: their values stay there.
pub(super) fn environment(keys: &mut Keys<'_>, to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    if let Some(item) = keys.take("env_file") {
        for item in reading.items(&item) {
            let path = match &item.node.value {
                Value::Map(_) => reading
                    .keys(&item)
                    .and_then(|mut keys| keys.take("path"))
                    .and_then(|item| text(&item, reading)),
                _ => text(&item, reading),
            };
            let Some(path) = path else { continue };
            let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
            let Some(content) = (reading.around.text_of)(&path) else {
                reading.wrong(
                    &item,
                    format!("{path} can't be read"),
                    "name a file of the project, or leave it out",
                );
                continue;
            };
            for (name, reference) in crate::secrets::all(&path, &content) {
                match reference {
                    Ok(reference) => {
                        let to = [to, &["secret", &name]].concat();
                        tree.text(&to, item.node.place, reference);
                    }
                    Err(why) => reading.wrong(
                        &item,
                        format!("{name} in {path}: {why}"),
                        "let a variable or a command have the value",
                    ),
                }
            }
            reading.turned(&item, "each of its variables is a reference to the value, which stays there");
        }
    }
    let Some(item) = keys.take("environment") else { return };
    let pairs: Vec<(String, Option<String>, Item<'_>)> = match &item.node.value {
        Value::Map(_) => {
            let all = reading.keys(&item).map(|keys| keys.all()).unwrap_or_default();
            let one = |(name, item): (&str, Item<'_>)| {
                let value = if matches!(item.node.value, Value::Null) { None } else { reading.text(&item) };
                (name.to_owned(), value, item.path.clone(), item.place, item.node.clone())
            };
            let all: Vec<_> = all.into_iter().map(one).collect();
            return all.into_iter().for_each(|(name, value, path, place, node)| {
                let item = Item { path, place, node: &node };
                one_variable(&name, value, &item, to, tree, reading);
            });
        }
        _ => reading
            .items(&item)
            .into_iter()
            .filter_map(|item| {
                let text = reading.text(&item)?;
                let (name, value) =
                    text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
                Some((name.to_owned(), value.map(str::to_owned), item))
            })
            .collect(),
    };
    for (name, value, item) in pairs {
        one_variable(&name, value, &item, to, tree, reading);
    }
}

/// A variable without a value is that of whoever deploys.
fn one_variable(
    name: &str,
    value: Option<String>,
    item: &Item<'_>,
    to: &[&str],
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    let value = match value {
        Some(text) => variable(&text, item, reading),
        None => variable(&format!("${{{name}}}"), item, reading),
    };
    let Some(value) = value else { return };
    for section in ["clear", "secret"] {
        tree.remove(&[to, &[section]].concat(), name);
    }
    let section = if matches!(value, Variable::Clear(_)) { "clear" } else { "secret" };
    let to = [to, &[section, name]].concat();
    tree.text(&to, item.node.place, value.text());
    reading.carried(item, &to);
}
