//! The YAML of a deploy file as a tree that knows where everything stands.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::error::{Place, Problem, Problems};

/// Nodes that a file may have once its aliases are written out. A file made by people has some hundred; aliases of
/// aliases of aliases can make millions of a few lines.
const MAX_NODES: usize = 10_000;

/// A value and where it stands: a scalar at itself, anything else at the key that it belongs to.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What stands there.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing: no text, `~` or `null`.
    Null,
    /// A scalar, as it was written: which type it is, is for the reader of the key to say.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// What a file is to be, in hints.
#[derive(Clone, Copy)]
pub struct Form {
    /// The shortest file that works.
    pub shortest: &'static str,
    /// What it is one of.
    pub single: &'static str,
}

/// Reads the one document that a file holds. None where it is no YAML, or no mapping; the problems say why.
pub fn parse(text: &str, form: Form, problems: &mut Problems) -> Option<Node> {
    let events = Parser::new_from_str(text);
    let builder = Builder { events, anchors: HashMap::new(), nodes: 0, form, problems };
    match builder.document() {
        Ok(root) => Some(root),
        Err(problem) => {
            problems.add(*problem);
            None
        }
    }
}

impl Node {
    /// The scalars at and below it.
    pub fn scalars(&self) -> Box<dyn Iterator<Item = (Place, &str)> + '_> {
        match &self.value {
            Value::Null => Box::new(std::iter::empty()),
            Value::Text(text) => Box::new(std::iter::once((self.place, text.as_str()))),
            Value::List(items) => Box::new(items.iter().flat_map(Self::scalars)),
            Value::Map(entries) => Box::new(entries.iter().flat_map(|entry| entry.node.scalars())),
        }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Text(_) => 0,
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.count()).sum(),
        }
    }
}

impl Value {
    /// What it is, in front of people.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "keys and values",
        }
    }
}

/// What was read, or what ends the reading.
type Read<T> = Result<T, Box<Problem>>;

/// Makes a tree of the parser's events. An error ends it; duplicate keys and the like are noted, and it goes on.
struct Builder<'a, 'p> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    form: Form,
    problems: &'p mut Problems,
}

impl<'a> Builder<'a, '_> {
    fn document(mut self) -> Read<Node> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::DocumentStart(..), span) if root.is_some() => {
                    let second = Problem::new("", place(span), "a second document begins here");
                    return Err(second.hint(self.form.single).into());
                }
                (Event::DocumentStart(..), _) => root = Some(self.node("")?),
                _ => {}
            }
        }
        match root {
            Some(root) if matches!(root.value, Value::Map(_)) => Ok(root),
            Some(Node { value: Value::Null, .. }) | None => {
                Err(Problem::new("", None, "the file is empty").hint(self.form.shortest).into())
            }
            Some(root) => {
                let message = format!("expected keys and values, found {}", root.value.kind());
                Err(Problem::new("", root.place, message).hint(self.form.shortest).into())
            }
        }
    }

    fn next(&mut self) -> Read<(Event<'a>, Span)> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(&error).into()),
            None => Err(Problem::new("", None, "the file ends too early").into()),
        }
    }

    fn node(&mut self, path: &str) -> Read<Node> {
        let (event, span) = self.next()?;
        self.node_of(event, span, path)
    }

    /// The node that begins with `event`.
    fn node_of(&mut self, event: Event<'a>, span: Span, path: &str) -> Read<Node> {
        if let Some(tag) = span.tag_span() {
            let tagged = Problem::new(path, place(tag), "tags are not read here");
            self.problems.add(tagged.hint("write the value without it: its key says which type it has"));
        }
        self.grow(1, path, span)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain
                    && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                (if null { Value::Null } else { Value::Text(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.list(path)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Map(self.map(path)?), anchor),
            Event::Alias(id) => return self.alias(id, span, path),
            _ => return Err(Problem::new(path, place(span), "expected a value").into()),
        };
        let first =
            if let Value::Map(entries) = &value { entries.first().map(|entry| entry.place) } else { None };
        let node = Node { place: first.unwrap_or_else(|| place(span)), value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span, path: &str) -> Read<Node> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(Problem::new(path, place(span), "an alias inside of what it stands for").into());
        };
        let node = node.clone();
        self.grow(node.count(), path, span)?;
        Ok(node)
    }

    /// Counts what the tree grows by.
    fn grow(&mut self, nodes: usize, path: &str, span: Span) -> Read<()> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(Problem::new(path, place(span), format!("the file has more than {MAX_NODES} values")).into())
    }

    fn list(&mut self, path: &str) -> Read<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => {
                    items.push(self.node_of(event, span, &format!("{path}[{}]", items.len()))?)
                }
            }
        }
    }

    fn map(&mut self, path: &str) -> Read<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(text, ..), span) => (text.into_owned(), place(span)),
                (_, span) => {
                    return Err(Problem::new(path, place(span), "a key must be a single value").into());
                }
            };
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let mut node = self.node(&path)?;
            if !matches!(node.value, Value::Text(_)) {
                node.place = at;
            }
            if key == "<<" {
                merged.extend(self.merge(&path, at, node));
            } else if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let first = format!("it was given in line {} before", first.place.line);
                self.problems.add(Problem::new(&path, at, "given twice").hint(first));
            } else {
                entries.push(Entry { key, place: at, node });
            }
        }
        for entry in merged {
            if !entries.iter().any(|own| own.key == entry.key) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The entries that a merge key (`<<`) brings in: of one mapping, or of several, the first before the others.
    fn merge(&mut self, path: &str, at: Place, node: Node) -> Vec<Entry> {
        match node.value {
            Value::Map(entries) => entries,
            Value::List(items) => items.into_iter().flat_map(|item| self.merge(path, at, item)).collect(),
            value => {
                let message = format!("expected keys and values to merge, found {}", value.kind());
                self.problems.add(Problem::new(path, at, message));
                Vec::new()
            }
        }
    }
}

/// What the parser can't read, in front of people.
fn syntax(error: &ScanError) -> Problem {
    let at = point(*error.marker(), 1);
    match error.kind() {
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart => {
            Problem::new("", at, "a tab where YAML allows only spaces").hint("indent with spaces")
        }
        ErrorKind::MappingValueNotAllowed => Problem::new("", at, "a second ':' where a value stands")
            .hint("a text that has ': ' in it is put in quotes; or the line is indented too far"),
        ErrorKind::UnknownAnchor => {
            let unknown = Problem::new("", at, "an alias of nothing");
            unknown.hint("an anchor, &name, must stand before its alias, *name; a text that begins with * is put in quotes")
        }
        _ => Problem::new("", at, format!("this is not YAML: {}", error.info())),
    }
}

/// Where something stands; of what goes over several lines, all of the first.
fn place(span: Span) -> Place {
    let one_line = span.start.line() == span.end.line();
    let width = if one_line { span.end.col().saturating_sub(span.start.col()).max(1) } else { usize::MAX };
    point(span.start, width)
}

/// A place from the parser's marker, whose columns begin at 0.
fn point(marker: Marker, width: usize) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1, width }
}
