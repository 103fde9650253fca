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

/// A file of another kind, which is read in the same way, and in which something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Report { file, problems })]
pub struct FileError {
    /// The file's name.
    pub file: String,
    /// All that was found, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Reads the text of such a file. `file` is its name in front of people.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn read_file<T>(
    text: &str,
    file: &str,
    read: impl FnOnce(&str, &mut Problems) -> Option<T>,
) -> Result<T, FileError> {
    let mut problems = Problems::default();
    match read(text, &mut problems) {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(FileError { file: file.to_owned(), problems: problems.into_list(text) }),
    }
}

/// Something that is wrong in a deploy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key that it is about, from the top, as in `destinations.production.hosts[1]`; empty: the whole file.
    pub path: String,
    /// The file that it stands in, where that is another one than the deploy file.
    pub file: Option<String>,
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
pub struct Problems {
    found: Vec<Problem>,
    secrets: Vec<Place>,
}

impl Problem {
    /// What is wrong with what stands at `path`.
    pub fn new(path: &str, place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            place: place.into(),
            message: message.into(),
            hint: None,
            snippet: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Problems {
    /// Whether nothing was found.
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Notes one.
    pub fn add(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// Keeps what stands there out of every snippet, unless it is a reference: a secret may have been pasted.
    pub fn hide(&mut self, node: &Node) {
        let pasted = |text: &str| matches!(text.parse::<Reference>(), Err(InvalidReference::Scheme));
        self.secrets.extend(node.scalars().filter(|(_, text)| pasted(text)).map(|(place, _)| place));
    }

    /// The error of a deploy file that has them.
    pub(super) fn into_error(self, text: &str, file: &str) -> DeployFileError {
        DeployFileError::Invalid { file: file.to_owned(), problems: self.into_list(text) }
    }

    /// Notes those of a file that begins `lines` further down.
    pub fn add_below(&mut self, other: Self, lines: usize) {
        let below = |place: Place| Place { line: place.line + lines, ..place };
        self.secrets.extend(other.secrets.into_iter().map(below));
        let moved = |problem: Problem| Problem { place: problem.place.map(below), ..problem };
        self.found.extend(other.found.into_iter().map(moved));
    }

    /// Gives those whose place has a path of its own that one.
    pub fn name(&mut self, path_at: impl Fn(Place) -> Option<String>) {
        for problem in &mut self.found {
            if let Some(path) = problem.place.and_then(&path_at) {
                problem.path = path;
            }
        }
    }

    /// All of them, each once, in the order of the file; what is missing comes last.
    pub fn into_list(self, text: &str) -> Vec<Problem> {
        self.into_list_of(text, |_| (None, 0))
    }

    /// The same of several files below one another: `file_at` says of a line in which of them it is, and how many lines are above that.
    pub fn into_list_of(
        self,
        text: &str,
        file_at: impl Fn(usize) -> (Option<String>, usize),
    ) -> Vec<Problem> {
        let source = Source { text, secrets: &self.secrets };
        let mut problems = self.found;
        problems.sort_by_key(|problem| (problem.place.is_none(), problem.place));
        problems.dedup();
        for problem in &mut problems {
            let Some(place) = problem.place else { continue };
            let (file, above) = file_at(place.line);
            problem.snippet = source.snippet(place, place.line - above);
            problem.file = file;
            problem.place = Some(Place { line: place.line - above, ..place });
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
            f.write_str(problem.file.as_deref().unwrap_or(self.file))?;
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
