//! The file that says who may ask for what.

use std::collections::BTreeMap;
use std::path::Path;

use cutover_core::tree::{FileError, Form, Problem, Problems, Section, parse, read_file};
use cutover_core::{Bytes, SourceName};

use crate::Error;
use crate::source::{Source, number};

const FORM: Form = Form {
    shortest: "the shortest file that works has one source: `sources: {shop: {kind: github, secret: env://SHOP_WEBHOOK_SECRET, service: shop, destination: production, branches: [main]}}`",
    single: "a file of triggers is one: sources, each with a name",
};

/// The bytes that a body may have where nothing is said. GitHub sends up to 25 MB, of which a push of a few commits is some 10 kB.
const BODY: u64 = 2 << 20;
/// The most: as much as GitHub sends.
const MOST_BODY: u64 = 25 << 20;
/// Connections at once where nothing is said.
const CONNECTIONS: u32 = 64;

/// Who may ask for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triggers {
    /// The sources, by the names that their hooks are called by.
    pub sources: BTreeMap<SourceName, Source>,
    /// What one sender may cost.
    pub limits: Limits,
}

/// What one sender may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body.
    pub body: u64,
    /// Connections at once; one more waits in the kernel's queue.
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: BODY, connections: CONNECTIONS }
    }
}

/// A size that no body may have.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a size of a body: write a number with a unit from 1k to 25m, such as 2m")]
struct InvalidBody(String);

impl Triggers {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read; all that is wrong with what stands in it, each with its place.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = |source| Error::File { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(file)?;
        Ok(Self::parse(&text, &path.display().to_string())?)
    }

    /// Reads the text of a file. `file` is its name in front of people.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        read_file(text, file, Self::of)
    }

    fn of(text: &str, problems: &mut Problems) -> Option<Self> {
        let root = parse(text, FORM, problems)?;
        let mut top = Section::of(String::new(), &root, problems)?;
        let sources = match top.section("sources", problems) {
            Some(section) if !section.entries.is_empty() => sources(&section, problems),
            _ => {
                problems.add(Problem::new("sources", None, "there is none").hint(FORM.shortest));
                BTreeMap::new()
            }
        };
        let limits =
            top.section("limits", problems).map(|section| limits(section, problems)).unwrap_or_default();
        top.done(problems);
        Some(Self { sources, limits })
    }
}

fn sources(section: &Section<'_>, problems: &mut Problems) -> BTreeMap<SourceName, Source> {
    let read = |section: Section<'_>, _, problems: &mut Problems| Source::of(section, problems);
    let all = section.by_name::<SourceName, Option<Source>>(read, problems);
    all.into_iter().filter_map(|(name, source)| Some((name, source?))).collect()
}

fn limits(mut section: Section<'_>, problems: &mut Problems) -> Limits {
    let usual = Limits::default();
    let limits = Limits {
        body: section.value("body", body, problems).unwrap_or(usual.body),
        connections: section.value("connections", number(1..=4096), problems).unwrap_or(usual.connections),
    };
    section.done(problems);
    limits
}

fn body(text: &str) -> Result<u64, InvalidBody> {
    let bytes =
        text.parse().ok().map(|Bytes(bytes)| bytes).filter(|bytes| (1 << 10..=MOST_BODY).contains(bytes));
    bytes.ok_or_else(|| InvalidBody(text.to_owned()))
}
