//! Files in another dialect while they are read: their texts below one another, what is wrong, and what became of each key.

use std::collections::BTreeMap;

use cutover_core::tree::{Entry, Form, Node, Problems, Value, nearest, parse};
use cutover_core::{Place, Problem};

use crate::erb::{self, Piece, Variable};
use crate::report::{Fate, Line, Told};
use crate::secrets::Secrets;
use crate::tree::{Tree, below};

/// What a translation may look at beside the files: given as functions, since nothing is read here.
pub struct Surroundings<'a> {
    /// The text of a file, by its path relative to the project's folder; none where it can't be read.
    pub text_of: &'a dyn Fn(&str) -> Option<String>,
    /// A variable of the environment of whoever deploys.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The commit that is checked out in the project's folder; none outside of Git.
    pub commit: Option<String>,
}

/// See the module.
pub(crate) struct Reading<'a> {
    pub(crate) around: &'a Surroundings<'a>,
    pub(crate) problems: Problems,
    pub(crate) secrets: Secrets,
    /// What has been said of keys, in the order in which it was.
    told: Vec<Told>,
    variables: Vec<Variable>,
    text: String,
    lines: usize,
    /// The files, each with the number of lines above it.
    files: Vec<(String, usize)>,
    /// Where what is carried now belongs: a part of the native file, from the top.
    pub(crate) within: Vec<String>,
    /// The keys by where they, and their values, stand.
    paths: BTreeMap<(usize, usize), String>,
}

/// A value, with its path and where its key stands.
#[derive(Clone, Debug)]
pub(crate) struct Item<'n> {
    pub(crate) path: String,
    pub(crate) place: Place,
    pub(crate) node: &'n Node,
}

/// A mapping that is being read.
pub(crate) struct Keys<'n> {
    path: String,
    pub(crate) entries: &'n [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(around: &'a Surroundings<'a>) -> Self {
        Self {
            around,
            problems: Problems::default(),
            secrets: Secrets::default(),
            told: Vec::new(),
            variables: Vec::new(),
            text: String::new(),
            lines: 0,
            files: Vec::new(),
            within: Vec::new(),
            paths: BTreeMap::new(),
        }
    }

    /// Reads the YAML of a file.
    pub(crate) fn file(&mut self, name: &str, text: &str, form: Form) -> Option<Node> {
        let mut problems = Problems::default();
        let masked = erb::mask(text, &mut self.variables, &mut problems);
        let root = parse(&masked, form, &mut problems);
        let above = self.lines;
        self.problems.add_below(problems, above);
        self.files.push((name.to_owned(), above));
        self.text.push_str(text);
        self.text.push('\n');
        self.lines = self.text.lines().count();
        let mut root = root?;
        below(&mut root, above);
        self.note_paths(&root, "");
        Some(root)
    }

    fn note_paths(&mut self, node: &Node, path: &str) {
        self.paths.entry((node.place.line, node.place.column)).or_insert_with(|| path.to_owned());
        match &node.value {
            Value::Null | Value::Text(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.note_paths(item, &format!("{path}[{index}]"));
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    if erb::is_masked(&entry.key) {
                        let key = Problem::new(path, entry.place, "a key can't be a variable");
                        self.problems.add(key.hint("write the key itself"));
                        continue;
                    }
                    let path = joined(path, &entry.key);
                    self.paths.insert((entry.place.line, entry.place.column), path.clone());
                    self.note_paths(&entry.node, &path);
                }
            }
        }
    }

    /// All that is wrong, each in its file and by the key that stands there.
    pub(crate) fn problems(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.name(|place| self.paths.get(&(place.line, place.column)).cloned());
        problems.into_list_of(&self.text, |line| {
            let (file, above) = self.file_at(line);
            (Some(file.to_owned()), above)
        })
    }

    /// What became of each key.
    pub(crate) fn report(&self) -> Vec<Line> {
        let mut told: Vec<&Told> = self.told.iter().collect();
        told.sort_by_key(|told| (told.place.is_none(), told.place));
        let line = |told: &Told| {
            let (file, line) = match (told.place, &told.file) {
                (Some(place), _) => {
                    let (file, above) = self.file_at(place.line);
                    (file.to_owned(), Some(place.line - above))
                }
                (None, file) => (file.clone().unwrap_or_default(), None),
            };
            Line { file, line, key: told.key.clone(), to: told.to.clone(), fate: told.fate.clone() }
        };
        let mut lines: Vec<Line> = told.into_iter().map(line).collect();
        lines.dedup();
        lines
    }

    fn file_at(&self, line: usize) -> (&str, usize) {
        let found = self.files.iter().rev().find(|(_, above)| *above < line);
        found.map_or(("", 0), |(file, above)| (file.as_str(), *above))
    }

    fn tell(&mut self, item: &Item<'_>, to: Option<&[&str]>, fate: Fate) {
        let whole = |path: &[&str]| {
            let within = self.within.iter().map(String::as_str);
            within.chain(path.iter().copied()).collect::<Vec<_>>().join(".")
        };
        let to = to.map(whole);
        let same = self.told.iter_mut().find(|told| told.place == Some(item.place) && told.key == item.path);
        let Some(told) = same else {
            let (place, key) = (Some(item.place), item.path.clone());
            self.told.push(Told { place, file: None, key, to, fate });
            return;
        };
        told.to = told.to.take().or(to);
        match (&mut told.fate, fate) {
            (old @ Fate::Carried, new)
            | (old @ (Fate::Changed { .. } | Fate::Idle { .. }), new @ Fate::Left { .. }) => {
                *old = new;
            }
            (Fate::Changed { how }, Fate::Changed { how: more }) if !how.contains(&more) => {
                how.push_str("; ");
                how.push_str(&more);
            }
            _ => {}
        }
    }

    pub(crate) fn carried(&mut self, item: &Item<'_>, to: &[&str]) {
        self.tell(item, Some(to), Fate::Carried);
    }

    pub(crate) fn changed(&mut self, item: &Item<'_>, to: &[&str], how: impl Into<String>) {
        self.tell(item, Some(to), Fate::Changed { how: how.into() });
    }

    /// The same of what has no place of its own in the native file.
    pub(crate) fn turned(&mut self, item: &Item<'_>, how: impl Into<String>) {
        self.tell(item, None, Fate::Changed { how: how.into() });
    }

    pub(crate) fn idle(&mut self, item: &Item<'_>, why: impl Into<String>) {
        self.tell(item, None, Fate::Idle { why: why.into() });
    }

    pub(crate) fn left(&mut self, item: &Item<'_>, why: impl Into<String>) {
        self.tell(item, None, Fate::Left { why: why.into() });
    }

    /// The same of a file that is there as a whole.
    pub(crate) fn left_file(&mut self, file: &str, why: impl Into<String>) {
        self.tell_file(file, None, Fate::Left { why: why.into() });
    }

    /// A file that is there as a whole, and means the same here.
    pub(crate) fn carried_file(&mut self, file: &str, to: &[&str]) {
        self.tell_file(file, Some(to.join(".")), Fate::Carried);
    }

    fn tell_file(&mut self, file: &str, to: Option<String>, fate: Fate) {
        if !self.told.iter().any(|told| told.file.as_deref() == Some(file)) {
            self.told.push(Told { place: None, file: Some(file.to_owned()), key: String::new(), to, fate });
        }
    }

    /// Says what became of a key of which nothing was said so far.
    pub(crate) fn otherwise(&mut self, item: &Item<'_>, how: &str) {
        if !self.told.iter().any(|told| told.place == Some(item.place)) {
            self.turned(item, how);
        }
    }

    /// Says of what another mapping takes the place of, that it does, unless something was said of it.
    pub(crate) fn overridden(&mut self, item: &Item<'_>, over: &Node, why: &str) {
        let (Value::Map(under), Value::Map(own)) = (&item.node.value, &over.value) else {
            self.otherwise(item, why);
            return;
        };
        for entry in under {
            if let Some(own) = own.iter().find(|own| own.key == entry.key) {
                let path = joined(&item.path, &entry.key);
                self.overridden(&Item { path, place: entry.place, node: &entry.node }, &own.node, why);
            }
        }
    }

    pub(crate) fn wrong(&mut self, item: &Item<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.add(Problem::new(&item.path, item.node.place, message).hint(hint));
    }

    /// The same of what stands at the key itself.
    pub(crate) fn wrong_key(&mut self, item: &Item<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.add(Problem::new(&item.path, item.place, message).hint(hint));
    }

    /// The keys and values that an item has; nothing is none.
    pub(crate) fn keys<'n>(&mut self, item: &Item<'n>) -> Option<Keys<'n>> {
        let entries = match &item.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            other => {
                let message = format!("expected keys and values, found {}", other.kind());
                self.problems.add(Problem::new(&item.path, item.node.place, message));
                return None;
            }
        };
        Some(Keys { path: item.path.clone(), entries, asked: Vec::new() })
    }

    /// The parts of a single value; a tag in it is a variable.
    pub(crate) fn pieces(&mut self, item: &Item<'_>) -> Option<Vec<Piece>> {
        match &item.node.value {
            Value::Text(text) => Some(erb::pieces(text, &self.variables)),
            other => {
                let message = format!("expected a single value, found {}", other.kind());
                self.problems.add(Problem::new(&item.path, item.node.place, message));
                None
            }
        }
    }

    /// Whether a value is a variable and nothing else.
    pub(crate) fn pieces_are_variable(&self, item: &Item<'_>) -> bool {
        let Value::Text(text) = &item.node.value else { return false };
        matches!(erb::pieces(text, &self.variables).as_slice(), [Piece::Variable(_)])
    }

    /// A single value, in which variables have what they have for whoever deploys.
    pub(crate) fn text(&mut self, item: &Item<'_>) -> Option<String> {
        let mut text = String::new();
        for piece in self.pieces(item)? {
            match piece {
                Piece::Text(part) => text.push_str(&part),
                Piece::Variable(Variable { name, default }) => {
                    let set = (self.around.variable)(&name);
                    let how = match (&set, &default) {
                        (Some(_), _) => format!("from {name} of the environment"),
                        (None, Some(_)) => format!("the default of {name}, which is not set"),
                        (None, None) => {
                            let unset = format!("{name} is not set where this runs");
                            self.wrong(
                                item,
                                unset,
                                format!("set it, or give a default: ENV.fetch(\"{name}\", \"…\")"),
                            );
                            return None;
                        }
                    };
                    self.turned(item, how);
                    text.push_str(&set.or(default).unwrap_or_default());
                }
            }
        }
        Some(text)
    }

    /// A truth value, as YAML 1.1 has it.
    pub(crate) fn flag(&mut self, item: &Item<'_>) -> Option<bool> {
        let text = self.text(item)?;
        let flag = truth(&text);
        if flag.is_none() {
            self.wrong(item, format!("'{text}' is neither true nor false"), "write true or false");
        }
        flag
    }

    /// A whole number, as YAML 1.1 has it.
    pub(crate) fn number(&mut self, item: &Item<'_>) -> Option<u64> {
        let text = self.text(item)?;
        let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',')).collect();
        let number = digits.parse().ok();
        if number.is_none() {
            self.wrong(item, format!("'{text}' is not a whole number"), "write it in digits alone");
        }
        number
    }

    /// The items of a list; a single value is a list of one.
    pub(crate) fn items<'n>(&mut self, item: &Item<'n>) -> Vec<Item<'n>> {
        match &item.node.value {
            Value::Null => Vec::new(),
            Value::Text(_) => vec![item.clone()],
            Value::List(items) => {
                let one = |(index, node): (usize, &'n Node)| Item {
                    path: format!("{}[{index}]", item.path),
                    place: node.place,
                    node,
                };
                items.iter().enumerate().map(one).collect()
            }
            Value::Map(_) => {
                self.wrong(item, "expected a list, found keys and values", "write […]");
                Vec::new()
            }
        }
    }

    /// Puts a single value where it belongs in the native file.
    pub(crate) fn carry(&mut self, tree: &mut Tree, item: &Item<'_>, to: &[&str]) -> Option<String> {
        let text = self.text(item)?;
        tree.text(to, item.node.place, text.clone());
        self.carried(item, to);
        Some(text)
    }

    /// The same of a number.
    pub(crate) fn carry_number(&mut self, tree: &mut Tree, item: &Item<'_>, to: &[&str]) -> Option<u64> {
        let number = self.number(item)?;
        tree.text(to, item.node.place, number.to_string());
        self.carried(item, to);
        Some(number)
    }

    /// A time in seconds.
    pub(crate) fn seconds(&mut self, item: &Item<'_>) -> Option<f64> {
        let text = self.text(item)?;
        let digits: String = text.chars().filter(|c| *c != '_').collect();
        let digits = digits.strip_suffix('s').unwrap_or(&digits);
        let seconds = digits.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds));
        if seconds.is_none() {
            self.wrong(item, format!("'{text}' is not a time in seconds"), "write a number, as in 30");
        }
        seconds
    }

    /// Puts one where it belongs in the native file.
    pub(crate) fn carry_seconds(&mut self, tree: &mut Tree, item: &Item<'_>, to: &[&str]) {
        let Some(seconds) = self.seconds(item) else { return };
        // Milliseconds are the smallest unit there.
        let text = if seconds.fract() == 0.0 {
            format!("{seconds}s")
        } else {
            format!("{}ms", (seconds * 1000.0).round())
        };
        tree.text(to, item.node.place, text);
        self.carried(item, to);
    }

    /// Whether a single value stands there in quotes.
    pub(crate) fn is_quoted(&self, node: &Node) -> bool {
        let line = node.place.line.checked_sub(1).and_then(|line| self.text.lines().nth(line));
        let first = line.and_then(|line| line.chars().nth(node.place.column.checked_sub(1)?));
        matches!(first, Some('"' | '\'' | '|' | '>'))
    }
}

impl<'n> Keys<'n> {
    /// What stands at `key`, which is a known one from now on.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item<'n>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.item(entry))
    }

    /// An entry as an item.
    pub(crate) fn item(&self, entry: &'n Entry) -> Item<'n> {
        Item { path: joined(&self.path, &entry.key), place: entry.place, node: &entry.node }
    }

    /// The same, without keys that begin so.
    pub(crate) fn without(mut self, prefix: &str, own: &'n mut Vec<Entry>) -> Self {
        own.extend(self.entries.iter().filter(|entry| !entry.key.starts_with(prefix)).cloned());
        self.entries = own;
        self
    }

    /// Every entry, for a mapping with keys of the user's own.
    pub(crate) fn all(&self) -> Vec<(&'n str, Item<'n>)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.item(entry))).collect()
    }

    /// Refuses the keys that were not asked for; `elsewhere` may know what to do about one.
    pub(crate) fn done(self, reading: &mut Reading<'_>, elsewhere: impl Fn(&str) -> Option<&'static str>) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let near =
                nearest(&entry.key, self.asked.iter().copied()).map(|key| format!("did you mean '{key}'?"));
            let hint = elsewhere(&entry.key)
                .map(str::to_owned)
                .or(near)
                .unwrap_or_else(|| format!("known here: {}", self.asked.join(", ")));
            let path = joined(&self.path, &entry.key);
            reading.problems.add(Problem::new(&path, entry.place, "unknown key").hint(hint));
        }
    }
}

/// A truth value of YAML 1.1.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(crate) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
