//! The native deploy file that comes of a translation, as a tree whose nodes stand where they were read.

use cutover_core::Place;
use cutover_core::tree::{Entry, Node, Value};

/// Keys and values that are being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(Vec<Entry>);

impl Tree {
    /// Puts a value at a path; what is there already is replaced.
    pub(crate) fn put(&mut self, path: &[&str], place: Place, value: Value) {
        put(&mut self.0, path, place, value);
    }

    /// Puts a single value there.
    pub(crate) fn text(&mut self, path: &[&str], place: Place, text: impl Into<String>) {
        self.put(path, place, Value::Text(text.into()));
    }

    /// Puts a list of single values there.
    pub(crate) fn list(&mut self, path: &[&str], place: Place, items: Vec<(Place, String)>) {
        let items = items.into_iter().map(|(place, text)| Node { place, value: Value::Text(text) });
        self.put(path, place, Value::List(items.collect()));
    }

    /// Adds an item to the list there.
    pub(crate) fn push(&mut self, path: &[&str], place: Place, text: impl Into<String>) {
        let mut items = match self.at(path) {
            Some(Node { value: Value::List(items), .. }) => items.clone(),
            _ => Vec::new(),
        };
        items.push(Node { place, value: Value::Text(text.into()) });
        self.put(path, place, Value::List(items));
    }

    /// Takes a key out of the mapping there.
    pub(crate) fn remove(&mut self, path: &[&str], key: &str) {
        if path.is_empty() {
            return self.0.retain(|entry| entry.key != key);
        }
        if let Some(Node { value: Value::Map(entries), .. }) = self.at(path) {
            let place = entries.first().map(|entry| entry.place);
            let left: Vec<Entry> = entries.iter().filter(|entry| entry.key != key).cloned().collect();
            if let Some(place) = place.filter(|_| left.len() < entries.len()) {
                self.put(path, place, Value::Map(left));
            }
        }
    }

    /// What stands at a path.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Node> {
        let (first, rest) = path.split_first()?;
        let mut node = &self.0.iter().find(|entry| entry.key == *first)?.node;
        for key in rest {
            let Value::Map(entries) = &node.value else { return None };
            node = &entries.iter().find(|entry| entry.key == *key)?.node;
        }
        Some(node)
    }

    /// Puts another tree at a path.
    pub(crate) fn graft(&mut self, path: &[&str], place: Place, other: Self) {
        self.put(path, place, Value::Map(other.0));
    }

    /// The keys of the mapping there.
    pub(crate) fn names(&self, path: &[&str]) -> Vec<String> {
        match self.at(path) {
            Some(Node { value: Value::Map(entries), .. }) => {
                entries.iter().map(|entry| entry.key.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The whole.
    pub(crate) fn finish(self) -> Node {
        Node { place: Place { line: 1, column: 1, width: 1 }, value: Value::Map(self.0) }
    }
}

fn put(entries: &mut Vec<Entry>, path: &[&str], place: Place, value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    let index = entries.iter().position(|entry| entry.key == *first).unwrap_or_else(|| {
        entries.push(Entry { key: (*first).to_owned(), place, node: Node { place, value: Value::Null } });
        entries.len() - 1
    });
    let Some(entry) = entries.get_mut(index) else { return };
    if rest.is_empty() {
        entry.node = Node { place, value };
        return;
    }
    if !matches!(entry.node.value, Value::Map(_)) {
        entry.node.value = Value::Map(Vec::new());
    }
    if let Value::Map(inner) = &mut entry.node.value {
        put(inner, rest, place, value);
    }
}

/// One mapping laid over another as Kamal does it: mappings key by key, all else as a whole.
pub(crate) fn laid_over(base: &Node, over: &Node) -> Node {
    let (Value::Map(base), Value::Map(own)) = (&base.value, &over.value) else { return over.clone() };
    let mut entries = base.clone();
    for entry in own {
        match entries.iter_mut().find(|under| under.key == entry.key) {
            Some(under) => *under = Entry { node: laid_over(&under.node, &entry.node), ..entry.clone() },
            None => entries.push(entry.clone()),
        }
    }
    Node { place: over.place, value: Value::Map(entries) }
}

/// Moves a tree down by some lines.
pub(crate) fn below(node: &mut Node, lines: usize) {
    node.place.line += lines;
    match &mut node.value {
        Value::Null | Value::Text(_) => {}
        Value::List(items) => items.iter_mut().for_each(|item| below(item, lines)),
        Value::Map(entries) => {
            for entry in entries {
                entry.place.line += lines;
                below(&mut entry.node, lines);
            }
        }
    }
}

/// Whether two nodes say the same, wherever they stand.
pub(crate) fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Null, Value::Null) => true,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            let has = |entry: &Entry| {
                other.iter().any(|there| there.key == entry.key && same(&there.node, &entry.node))
            };
            one.len() == other.len() && one.iter().all(has)
        }
        _ => false,
    }
}
