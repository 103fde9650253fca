//! The JSON Schema of the deploy file beside its reader: both know the same keys, and an editor that goes by the schema
//! marks no file that is read.
// A schema is any JSON, and so is what is held against it.
#![allow(clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use cutover_core::tree::{Form, Node, Problems, Value as Tree, parse as tree};
use cutover_core::{DeployFile, DeployFileError, Problem};
use serde_json::{Value, json};

use super::{REFUSED, SAMPLE};

const SCHEMA: &str = include_str!("../../../../docs/cutover.schema.json");

/// A key that nothing is near to.
const UNKNOWN: &str = "zzzzzzzzzzzz";

/// Texts of every kind that some key takes.
const TEXTS: [&str; 59] = [
    "",
    " ",
    "x",
    "true",
    "false",
    "yes",
    "0",
    "1",
    "80",
    "599",
    "-1",
    "65536",
    "1.5",
    "0.5",
    "1e3",
    "0s",
    "10ms",
    "30s",
    "1h 30m",
    "1.5h",
    "8d",
    "soon",
    "5%",
    "0.5 %",
    "101%",
    "6m",
    "512m",
    "1.5 GiB",
    "10b",
    "all",
    "never",
    "promoted",
    "host",
    "service",
    "release",
    "hold",
    "bound",
    "h2c",
    "inline",
    "agent",
    "image",
    "tls-alpn",
    "mysql",
    "elapsed",
    "memory",
    "/",
    "/a",
    "/a/b c",
    "a:/b",
    "a:/b:ro",
    "linux/arm64",
    "https://example.com/a",
    "env://A",
    "vault://kv/a#b",
    "GET",
    "200-299, 304",
    "2001:db8::1",
    "ops@example.com",
    "SIGTERM",
];

/// Where something stands in a deploy file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    First,
}

/// A key of the schema, or an item of a list: where it stands in the schema, and where it may stand in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    pointer: String,
    path: Vec<Step>,
}

struct Schema {
    root: Value,
    compiler: Compiler,
    schemas: Schemas,
}

impl Schema {
    fn new() -> Self {
        let root: Value = serde_json::from_str(SCHEMA).unwrap();
        let mut compiler = Compiler::new();
        compiler.add_resource("schema.json", root.clone()).unwrap();
        Self { root, compiler, schemas: Schemas::new() }
    }

    fn at(&mut self, pointer: &str) -> SchemaIndex {
        self.compiler.compile(&format!("schema.json#{pointer}"), &mut self.schemas).unwrap()
    }

    /// What stands at a pointer, and what is referred to there, and each of what it may be.
    fn shapes(&self, pointer: &str) -> Vec<(String, &Value)> {
        let shape = self.root.pointer(pointer).unwrap();
        let mut all = vec![(pointer.to_owned(), shape)];
        if let Some(referred) = shape.get("$ref") {
            all.extend(self.shapes(referred.as_str().unwrap().trim_start_matches('#')));
        }
        for index in 0..shape.get("anyOf").and_then(Value::as_array).map_or(0, Vec::len) {
            all.extend(self.shapes(&format!("{pointer}/anyOf/{index}")));
        }
        all
    }

    /// All keys and items.
    fn spots(&self) -> BTreeSet<Spot> {
        let mut found = BTreeSet::new();
        self.below(Spot { pointer: String::new(), path: Vec::new() }, &mut found);
        found
    }

    fn below(&self, spot: Spot, found: &mut BTreeSet<Spot>) {
        for (pointer, shape) in self.shapes(&spot.pointer) {
            let keys = shape.get("properties").and_then(Value::as_object).into_iter().flatten();
            let named = shape.get("additionalProperties").filter(|names| names.is_object());
            let below = keys
                .map(|(key, _)| (format!("properties/{key}"), Step::Key(key.clone())))
                .chain(named.map(|_| ("additionalProperties".into(), Step::Key(name_at(&spot.path)))))
                .chain(shape.get("items").map(|_| ("items".into(), Step::First)));
            for (place, step) in below {
                let mut path = spot.path.clone();
                path.push(step);
                self.below(Spot { pointer: format!("{pointer}/{place}"), path }, found);
            }
        }
        found.insert(spot);
    }
}

/// A name of the user's own.
fn name_at(path: &[Step]) -> String {
    let own = match path.last() {
        Some(Step::Key(key)) if key == "destinations" => "production",
        Some(Step::Key(key)) if key == "ulimits" => "nofile",
        Some(Step::Key(key)) if key == "sysctls" => "net.core.somaxconn",
        _ => "own",
    };
    own.to_owned()
}

/// The smallest deploy file, with a value at a place.
fn file_with(path: &[Step], value: Value) -> String {
    let mut file = json!({"service": "hello", "destinations": {"production": {"hosts": ["a"]}}});
    let mut at = &mut file;
    for step in path {
        match step {
            Step::Key(key) => {
                if !at.is_object() {
                    *at = json!({});
                }
                at = at.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
            }
            Step::First => {
                *at = json!([null]);
                at = at.get_mut(0).unwrap();
            }
        }
    }
    *at = value;
    file.to_string()
}

/// The path as problems have it.
fn shown(path: &[Step]) -> String {
    path.iter().fold(String::new(), |shown, step| match step {
        Step::Key(key) if shown.is_empty() => key.clone(),
        Step::Key(key) => format!("{shown}.{key}"),
        Step::First => format!("{shown}[0]"),
    })
}

fn problems(text: &str) -> Vec<Problem> {
    match DeployFile::parse(text, "cutover.yaml") {
        Ok(_) => Vec::new(),
        Err(DeployFileError::Invalid { problems, .. }) => problems,
        Err(error) => panic!("{error}"),
    }
}

/// A file as a validator has it. Whether a text was quoted is nothing to the reader; to the validator it is, so it is given
/// both ways.
fn value(node: &Node, plain: bool) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Text(text) if plain => typed(text),
        Tree::Text(text) => json!(text),
        Tree::List(items) => items.iter().map(|item| value(item, plain)).collect(),
        Tree::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), value(&entry.node, plain))).collect()
        }
    }
}

/// What YAML takes a text for that isn't quoted (YAML 1.2.2, 10.3.2), as far as it matters here.
fn typed(text: &str) -> Value {
    let digits = text.trim_start_matches(['+', '-']);
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match (text.parse::<bool>(), text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(flag), ..) => json!(flag),
        (_, Ok(whole), _) => json!(whole),
        (.., Ok(number_)) if number => json!(number_),
        _ => json!(text),
    }
}

fn read(text: &str) -> Option<Node> {
    let form = Form { shortest: "", single: "" };
    tree(text.trim_start_matches('\u{feff}'), form, &mut Problems::default())
}

/// Says so where the schema refuses a file that the reader has taken.
pub fn check(text: &str) {
    static COMPILED: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
        let mut schema = Schema::new();
        let root = schema.at("");
        (schema.schemas, root)
    });
    let ((schemas, root), node) = (&*COMPILED, read(text).unwrap());
    for plain in [false, true] {
        let file = value(&node, plain);
        let refusal = schemas.validate(&file, *root).err();
        assert!(refusal.is_none(), "the schema refuses what is read: {}\n{text}", refusal.unwrap());
    }
}

#[test]
fn the_sample_is_a_file_of_it() {
    check(SAMPLE);
}

#[test]
fn it_has_every_key_that_is_read_and_no_other() {
    let schema = Schema::new();
    let (mut wrong, mut sections) = (Vec::new(), 0);
    for spot in schema.spots() {
        for (_, shape) in schema.shapes(&spot.pointer) {
            let Some(keys) = shape.get("properties").and_then(Value::as_object) else { continue };
            if shape.get("additionalProperties") != Some(&json!(false)) {
                continue;
            }
            sections += 1;
            let path = [spot.path.clone(), vec![Step::Key(UNKNOWN.into())]].concat();
            let told = problems(&file_with(&path, json!(1)));
            let unknown = told.iter().find(|problem| problem.path == shown(&path));
            let hint = unknown.and_then(|problem| problem.hint.as_deref()).unwrap_or_default();
            let known: BTreeSet<&str> = hint.trim_start_matches("known here: ").split(", ").collect();
            let keys: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
            if known != keys {
                let (missing, unread) = (&known - &keys, &keys - &known);
                wrong.push(format!(
                    "{}: the schema lacks {missing:?}, nobody reads {unread:?}",
                    shown(&spot.path)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sections > 100, "{sections} sections");
}

#[test]
fn it_takes_every_value_that_is_read_and_refuses_some_that_are_not() {
    let mut schema = Schema::new();
    let (mut wrong, mut values) = (Vec::new(), 0);
    // What may stand in several places is the same in each.
    let spots: BTreeMap<_, _> = schema.spots().into_iter().map(|spot| (spot.pointer.clone(), spot)).collect();
    for spot in spots.into_values().filter(|spot| !spot.path.is_empty()) {
        let path = shown(&spot.path);
        let (mut unread, mut refused) = (0, 0);
        let texts = TEXTS.iter().map(|text| (json!(text), typed(text)));
        for (text, plain) in
            texts.chain([(Value::Null, Value::Null), (json!([]), json!([])), (json!({}), json!({}))])
        {
            let told = problems(&file_with(&spot.path, text.clone()));
            let is_about = |problem: &Problem| {
                problem.path.strip_prefix(&path).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            };
            let is_read = !told.iter().any(is_about);
            let at = schema.at(&spot.pointer);
            for value in [&text, &plain] {
                let taken = schema.schemas.validate(value, at);
                unread += usize::from(!is_read);
                refused += usize::from(!is_read && taken.is_err());
                if let Some(refusal) = taken.err().filter(|_| is_read) {
                    wrong.push(format!("{path}: {value} is read, and the schema refuses it: {refusal}"));
                }
            }
            values += 1;
        }
        if unread > 0 && refused == 0 {
            wrong.push(format!("{path}: the schema refuses nothing of what isn't read"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(values > 5_000, "{values} values");
}

#[test]
fn it_refuses_a_file_with_an_unknown_key() {
    let mut schema = Schema::new();
    let mut cases = 0;
    for case in REFUSED.split("\n=====\n") {
        let Some((text, told)) = case.split_once("-----\n") else { continue };
        let text = text.trim_start().split_once('\n').map_or("", |(_, text)| text);
        if let Some(node) = read(text).filter(|_| told.contains(": unknown key")) {
            let root = schema.at("");
            assert!(
                schema.schemas.validate(&value(&node, true), root).is_err(),
                "the schema takes it:\n{text}"
            );
            cases += 1;
        }
    }
    assert!(cases >= 5, "{cases} cases");
}

/// What the sample says of a key beside it is what an editor shows.
#[test]
fn it_says_of_a_key_what_the_sample_says() {
    let schema = Schema::new();
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let lines: Vec<&str> = SAMPLE.lines().collect();
    comments(&schema, "", &read(SAMPLE).unwrap(), &lines, &mut said);
    for (pointer, comments) in &said {
        let description = schema.root.pointer(pointer).and_then(|shape| shape.get("description"));
        let description = description.and_then(Value::as_str).unwrap_or_default();
        assert!(comments.contains(description), "{pointer} has '{description}', the sample {comments:?}");
    }
    assert!(said.len() > 150, "{} keys", said.len());
}

fn comments(
    schema: &Schema,
    pointer: &str,
    node: &Node,
    lines: &[&str],
    said: &mut BTreeMap<String, BTreeSet<String>>,
) {
    for (shape_at, shape) in schema.shapes(pointer) {
        match &node.value {
            Tree::Map(entries) => {
                for entry in entries {
                    let own = shape.get("properties").and_then(|keys| keys.get(&entry.key));
                    let named = shape.get("additionalProperties").is_some_and(Value::is_object);
                    let at = match own {
                        Some(_) => format!("{shape_at}/properties/{}", entry.key),
                        None if named => format!("{shape_at}/additionalProperties"),
                        None => continue,
                    };
                    let line = lines.get(entry.place.line - 1).copied().unwrap_or_default();
                    let comment = line.split_once(" # ").filter(|_| own.is_some());
                    // A line that begins with something else is commented on for that.
                    let comment =
                        comment.filter(|(code, _)| code.trim_start().starts_with(&format!("{}:", entry.key)));
                    if let Some((_, comment)) = comment {
                        said.entry(at.clone()).or_default().insert(comment.trim().to_owned());
                    }
                    comments(schema, &at, &entry.node, lines, said);
                }
            }
            Tree::List(items) if shape.get("items").is_some() => {
                for item in items {
                    comments(schema, &format!("{shape_at}/items"), item, lines, said);
                }
            }
            _ => {}
        }
    }
}
