//! What can be wrong with a deploy file, and how it is told.

use std::fmt;

use super::node::Node;
use super::snippet::Source;
use crate::{InvalidReference, Reference};

/// A deploy file that can't be used as it was to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeployFileError {
    /// What stands in it is wrong.
    #[error("{}", Report { file, problems })]
    Invalid {
        /// The file's name.
        file: String,
        /// All that was found, in the order of the file.
        problems: Vec<Problem>,
    },
    /// It has no destination of that name.
    #[error("{file}: there is no destination '{name}'\n  = the destinations are: {known}")]
    UnknownDestination {
        /// The file's name.
        file: String,
        /// What was asked for.
        name: String,
        /// The names that there are, the nearest first.
        known: String,
    },
    /// It has several destinations, and none was named.
    #[error("{file}: several destinations, and none was named\n  = name one of: {known}")]
    NoDestination {
        /// The file's name.
        file: String,
        /// The names that there are, in the order of the file.
        known: String,
    },
}

/// Something that is wrong in a deploy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key that it is about, from the top, as in `destinations.production.hosts[1]`; empty: the whole file.
    pub path: String,
    /// Where it stands; none where something is missing at the top.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line that it stands in, with a mark below.
    snippet: Option<String>,
}

/// A part of a line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters it goes on for; of what goes over several lines, more than the line has.
    pub width: usize,
}

/// The problems found so far, and the places whose text must not be shown.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    secrets: Vec<Place>,
}

impl Problem {
    pub(crate) fn new(path: &str, place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            place: place.into(),
            message: message.into(),
            hint: None,
            snippet: None,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Problems {
    pub(crate) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// Keeps what stands there out of every snippet, unless it is a reference: a secret may have been pasted.
    pub(super) fn hide(&mut self, node: &Node) {
        let pasted = |text: &str| matches!(text.parse::<Reference>(), Err(InvalidReference::Scheme));
        self.secrets.extend(node.scalars().filter(|(_, text)| pasted(text)).map(|(place, _)| place));
    }

    /// The error of a deploy file that has them.
    pub(super) fn into_error(self, text: &str, file: &str) -> DeployFileError {
        DeployFileError::Invalid { file: file.to_owned(), problems: self.into_list(text) }
    }

    /// All of them, each once, in the order of the file; what is missing comes last.
    pub(crate) fn into_list(self, text: &str) -> Vec<Problem> {
        let source = Source { text, secrets: &self.secrets };
        let mut problems = self.found;
        problems.sort_by_key(|problem| (problem.place.is_none(), problem.place));
        problems.dedup();
        for problem in &mut problems {
            problem.snippet = problem.place.and_then(|place| source.snippet(place));
        }
        problems
    }
}

/// The problems of a file as a compiler would tell them.
pub(crate) struct Report<'a> {
    pub(crate) file: &'a str,
    pub(crate) problems: &'a [Problem],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "\n\n" })?;
            f.write_str(self.file)?;
            if let Some(place) = problem.place {
                write!(f, ":{}:{}", place.line, place.column)?;
            }
            if !problem.path.is_empty() {
                write!(f, ": {}", problem.path)?;
            }
            write!(f, ": {}", problem.message)?;
            if let Some(snippet) = &problem.snippet {
                write!(f, "\n{snippet}")?;
            }
            if let Some(hint) = &problem.hint {
                write!(f, "\n  = {hint}")?;
            }
        }
        Ok(())
    }
}
