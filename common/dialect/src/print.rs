//! A native file as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cutover_core::tree::{Entry, Node, Value};

/// The keys at the top, in the order in which people look for them.
const ORDER: [&str; 17] = [
    "service",
    "image",
    "builder",
    "registry",
    "port",
    "replicas",
    "command",
    "env",
    "proxy",
    "readiness_probe",
    "resources",
    "container",
    "roles",
    "sidecars",
    "timeouts",
    "retain",
    "ssh",
];

/// Columns that a list in one line may reach.
const WIDTH: usize = 100;

/// Words that YAML reads as nothing.
const NOTHING: [&str; 5] = ["", "~", "null", "Null", "NULL"];

/// Writes a file, with a comment behind the keys whose path has one.
pub(crate) fn printed(root: &Node, comments: &BTreeMap<String, String>) -> String {
    let Value::Map(entries) = &root.value else { return String::new() };
    let rank = |entry: &&Entry| ORDER.iter().position(|key| *key == entry.key).unwrap_or(ORDER.len());
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(rank);
    let mut out = String::new();
    let mut printer = Printer { out: &mut out, comments };
    let mut is_after_map = false;
    for entry in sorted {
        let is_map = matches!(entry.node.value, Value::Map(_));
        if is_map || is_after_map {
            printer.out.push('\n');
        }
        is_after_map = is_map;
        printer.entry(entry, "", 0);
    }
    out
}

struct Printer<'a> {
    out: &'a mut String,
    comments: &'a BTreeMap<String, String>,
}

impl Printer<'_> {
    fn entry(&mut self, entry: &Entry, path: &str, depth: usize) {
        let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let indent = "  ".repeat(depth);
        let _ = write!(self.out, "{indent}{}:", scalar(&entry.key));
        let comment = self.comments.get(&path).map(|comment| format!("   # {comment}")).unwrap_or_default();
        match &entry.node.value {
            Value::Null => {
                let _ = writeln!(self.out, "{comment}");
            }
            Value::Text(text) => {
                let _ = writeln!(self.out, " {}{comment}", scalar(text));
            }
            Value::Map(entries) if entries.is_empty() => {
                let _ = writeln!(self.out, " {{}}{comment}");
            }
            Value::Map(entries) => {
                let _ = writeln!(self.out, "{comment}");
                for inner in entries {
                    self.entry(inner, &path, depth + 1);
                }
            }
            Value::List(items) => {
                let texts: Vec<String> = items.iter().map(item).collect();
                let line = format!(" [{}]", texts.join(", "));
                if indent.len() + entry.key.len() + line.len() <= WIDTH {
                    let _ = writeln!(self.out, "{line}{comment}");
                    return;
                }
                let _ = writeln!(self.out, "{comment}");
                for text in texts {
                    let _ = writeln!(self.out, "{indent}  - {text}");
                }
            }
        }
    }
}

/// An item of a list; a translation has none that are more than a single value.
fn item(node: &Node) -> String {
    if let Value::Text(text) = &node.value { scalar(text) } else { "~".to_owned() }
}

/// A single value, in quotes where YAML could read it as something else.
fn scalar(text: &str) -> String {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_./@%+-".contains(c);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c))
        && text.chars().all(is_known)
        && !NOTHING.contains(&text)
        // The ends of documents.
        && text != "...";
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        !rest.is_empty() && [scheme, rest].iter().all(|part| !part.is_empty() && part.chars().all(is_known))
    });
    if is_plain || is_url {
        return text.to_owned();
    }
    let is_special = |c: char| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if !text.contains(is_special) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_special(c) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
