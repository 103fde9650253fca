//! One native file of several destinations: what all say stands at the top, what one says alone stands there.

use cutover_core::Problem;
use cutover_core::tree::{Entry, Node, Value};

use crate::reading::Reading;
use crate::tree::{Tree, same};

/// The keys that a destination may give again.
const LAYERED: [&str; 10] =
    ["replicas", "env", "proxy", "resources", "roles", "sidecars", "timeouts", "ssh", "canary", "hooks"];

/// Puts the native files of destinations together. What can't be different is a problem.
pub(crate) fn combined(all: &[(String, Node)], reading: &mut Reading<'_>) -> Option<Node> {
    let (_, first) = all.first()?;
    if all.len() == 1 {
        return Some(first.clone());
    }
    let entries =
        |node: &Node| if let Value::Map(entries) = &node.value { entries.clone() } else { Vec::new() };
    let mut keys: Vec<String> = Vec::new();
    for entry in all.iter().flat_map(|(_, node)| entries(node)) {
        if !keys.contains(&entry.key) {
            keys.push(entry.key);
        }
    }
    let mut tree = Tree::default();
    let mut destinations: Vec<(String, Vec<Entry>)> = Vec::new();
    for (name, node) in all {
        let own = entries(node).into_iter().filter(|entry| entry.key == "destinations");
        let own = own.flat_map(|entry| entries(&entry.node)).flat_map(|entry| entries(&entry.node));
        destinations.push((name.clone(), own.collect()));
    }
    for key in keys.iter().filter(|key| *key != "destinations") {
        let there: Vec<Option<Entry>> =
            all.iter().map(|(_, node)| entries(node).into_iter().find(|entry| entry.key == *key)).collect();
        let (common, rests) = split(&there);
        let is_same = rests.iter().all(Option::is_none);
        if !is_same && !LAYERED.contains(&key.as_str()) {
            let place = there.iter().flatten().last().map(|entry| entry.place);
            let different = Problem::new(key, place, "in one file, this is the same at all destinations");
            let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            reading
                .problems
                .add(different.hint(format!("write a file for each: `cutover import -d <one of {names}>`")));
        }
        if let Some(entry) = common {
            tree.put(&[key], entry.place, entry.node.value);
        }
        for ((_, own), rest) in destinations.iter_mut().zip(rests) {
            own.extend(rest);
        }
    }
    for (name, own) in destinations {
        let place = own.first().map_or(first.place, |entry| entry.place);
        tree.put(&["destinations", &name], place, Value::Map(own));
    }
    Some(tree.finish())
}

/// What all of these say, and what is left of each.
fn split(all: &[Option<Entry>]) -> (Option<Entry>, Vec<Option<Entry>>) {
    let whole: Option<Vec<&Entry>> = all.iter().map(Option::as_ref).collect();
    let Some(whole) = whole else { return (None, all.to_vec()) };
    let Some((first, others)) = whole.split_first() else { return (None, Vec::new()) };
    if others.iter().all(|other| same(&first.node, &other.node)) {
        return (Some((*first).clone()), vec![None; all.len()]);
    }
    let maps: Option<Vec<&Vec<Entry>>> = whole
        .iter()
        .map(|entry| if let Value::Map(entries) = &entry.node.value { Some(entries) } else { None })
        .collect();
    let Some(maps) = maps else { return (None, all.to_vec()) };
    let mut keys: Vec<&str> = Vec::new();
    for entry in maps.iter().copied().flatten() {
        if !keys.contains(&entry.key.as_str()) {
            keys.push(&entry.key);
        }
    }
    let mut common = Vec::new();
    let mut rests: Vec<Vec<Entry>> = vec![Vec::new(); all.len()];
    for key in keys {
        let there: Vec<Option<Entry>> =
            maps.iter().map(|entries| entries.iter().find(|entry| entry.key == key).cloned()).collect();
        let (shared, left) = split(&there);
        common.extend(shared);
        for (rest, left) in rests.iter_mut().zip(left) {
            rest.extend(left);
        }
    }
    let with = |entry: &Entry, entries: Vec<Entry>| {
        let node = Node { value: Value::Map(entries), ..entry.node.clone() };
        Entry { node, ..entry.clone() }
    };
    let rests = whole.iter().zip(rests);
    let rests = rests.map(|(entry, rest)| (!rest.is_empty()).then(|| with(entry, rest))).collect();
    ((!common.is_empty()).then(|| with(first, common)), rests)
}
