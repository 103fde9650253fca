//! Keys and values, read one by one; what nobody has asked for is an unknown key.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::error::{Place, Problem, Problems};
use super::nearest::nearest;
use super::node::{Entry, Node, Value};
use crate::InvalidName;

/// Keys of other tools, and what stands for them here.
const ELSEWHERE: [(&str, &str); 13] = [
    ("servers", "hosts stand in `destinations: {production: {hosts: […]}}`"),
    ("hosts", "hosts stand in `destinations: {production: {hosts: […]}}`"),
    ("healthcheck", "it is called `readiness_probe` here"),
    ("assets", "it is `container.assets` here"),
    ("asset_path", "it is `container.assets` here"),
    ("proxy.healthcheck.path", "it is that of `readiness_probe`, at the top"),
    ("proxy.healthcheck.interval", "it is called `period` here"),
    (
        "proxy.buffering",
        "nothing is buffered; a limit of the request's body is `max_request_body`, in `proxy` itself",
    ),
    ("builder.host", "the machine that builds is `remote` here"),
    ("builder.arch", "it is `platform` here, as in linux/amd64"),
    ("builder.provenance", "each image that is built has one; `cutover provenance` shows it"),
    (
        "builder.sbom",
        "BuildKit makes none without an image store of its own; let a scanner read the image instead",
    ),
    ("environment", "it is called `env` here"),
];

/// A mapping that is being read.
pub struct Section<'a> {
    /// Its path from the top; empty: it is the whole file.
    pub path: String,
    /// Where its key stands; none: it is the whole file.
    pub place: Option<Place>,
    /// Its keys and values, in the order of the file.
    pub entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The mapping that `node` is; nothing is an empty one. None where it is something else.
    pub fn of(path: String, node: &'a Node, problems: &mut Problems) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            other => {
                let message = format!("expected keys and values, found {}", other.kind());
                problems.add(Problem::new(&path, node.place, message));
                return None;
            }
        };
        let place = (!path.is_empty()).then_some(node.place);
        Some(Self { path, place, entries, asked: Vec::new() })
    }

    /// The path of a key in it.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What stands at `key`, which is a known one from now on.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The mapping at `key`.
    pub fn section(&mut self, key: &'static str, problems: &mut Problems) -> Option<Self> {
        let node = self.node(key)?;
        Self::of(self.path_of(key), node, problems)
    }

    /// The single value at `key`.
    pub fn value<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        let node = self.node(key)?;
        scalar(&self.path_of(key), node, parse, problems)
    }

    /// The same of a key that must be there.
    pub fn required<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        if self.lacks(key) {
            problems.add(Problem::new(&self.path_of(key), self.place, "missing"));
        }
        self.value(key, parse, problems)
    }

    /// Whether `key` is missing, and not only misspelt: that is told as an unknown key.
    pub fn lacks(&self, key: &str) -> bool {
        !self.entries.iter().any(|entry| nearest(&entry.key, std::iter::once(key)).is_some())
    }

    /// The list at `key`, each item with its path.
    pub fn list(&mut self, key: &'static str, problems: &mut Problems) -> Option<Vec<(String, &'a Node)>> {
        let node = self.node(key)?;
        let path = self.path_of(key);
        if let Value::List(items) = &node.value {
            return Some(
                items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect(),
            );
        }
        let wrong = Problem::new(&path, node.place, format!("expected a list, found {}", node.value.kind()));
        let hint = if let Value::Text(text) = &node.value {
            format!("write [{text}]")
        } else {
            "write […]".to_owned()
        };
        problems.add(wrong.hint(hint));
        None
    }

    /// The single values of the list at `key`.
    pub fn scalars<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<Vec<T>> {
        let items = self.list(key, problems)?.into_iter();
        Some(items.filter_map(|(path, item)| scalar(&path, item, &parse, problems)).collect())
    }

    /// Every entry as a section of its own, for a mapping with names of the user's own.
    pub fn by_name<N: FromStr<Err = InvalidName> + Ord, T>(
        &self,
        read: impl Fn(Self, Place, &mut Problems) -> T,
        problems: &mut Problems,
    ) -> BTreeMap<N, T> {
        let mut all = BTreeMap::new();
        for entry in self.entries {
            let path = self.path_of(&entry.key);
            let name = entry.key.parse::<N>();
            if let Err(error) = &name {
                problems.add(Problem::new(&path, entry.place, error.to_string()));
            }
            let Some(part) = Section::of(path, &entry.node, problems) else { continue };
            let value = read(part, entry.place, problems);
            all.extend(name.ok().map(|name| (name, value)));
        }
        all
    }

    /// Every entry as a name and a single value, for a mapping with keys of the user's own.
    pub fn texts(&self, problems: &mut Problems) -> Vec<(&'a Entry, &'a str)> {
        let read = |entry: &'a Entry| match &entry.node.value {
            Value::Text(text) => Some((entry, text.as_str())),
            other => {
                problems.add(not_single(&self.path_of(&entry.key), &entry.node, other));
                None
            }
        };
        self.entries.iter().filter_map(read).collect()
    }

    /// Refuses the keys that were not asked for.
    pub fn done(self, problems: &mut Problems) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let path = self.path_of(&entry.key);
            let elsewhere =
                ELSEWHERE.iter().find(|(key, _)| *key == path).map(|(_, hint)| (*hint).to_owned());
            let near = || {
                nearest(&entry.key, self.asked.iter().copied()).map(|key| format!("did you mean '{key}'?"))
            };
            let hint =
                elsewhere.or_else(near).unwrap_or_else(|| format!("known here: {}", self.asked.join(", ")));
            problems.add(Problem::new(&path, entry.place, "unknown key").hint(hint));
        }
    }
}

/// The single value that `node` is.
pub fn scalar<T, E: Display>(
    path: &str,
    node: &Node,
    parse: impl FnOnce(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> Option<T> {
    let Value::Text(text) = &node.value else {
        problems.add(not_single(path, node, &node.value));
        return None;
    };
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(Problem::new(path, node.place, error.to_string()));
            None
        }
    }
}

fn not_single(path: &str, node: &Node, value: &Value) -> Problem {
    let problem = Problem::new(path, node.place, format!("expected a single value, found {}", value.kind()));
    match value {
        Value::Null => problem.hint("give it a value (\"\" is the empty text), or leave the key out"),
        _ => problem,
    }
}
