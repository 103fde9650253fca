//! What became of each key.

use std::fmt;

use cutover_core::Place;
use serde::Serialize;

/// A key of the file, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The file that it stands in.
    pub file: String,
    /// Its line; none of a file that is there as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key, from the top.
    pub key: String,
    /// Where that stands in the native file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It means the same.
    Carried,
    /// It means the same, or nearly, and stands there differently.
    Changed {
        /// How.
        how: String,
    },
    /// Nothing comes of it, and nothing would be different: it is about the other tool itself.
    Idle {
        /// Why.
        why: String,
    },
    /// Nothing comes of it, which whoever relies on it should know.
    Left {
        /// Why.
        why: String,
    },
}

/// The same while the file is read: with its place.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) place: Option<Place>,
    /// A file that is there as a whole.
    pub(crate) file: Option<String>,
    pub(crate) key: String,
    pub(crate) to: Option<String>,
    pub(crate) fate: Fate,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        match (&self.fate, &self.to) {
            (Fate::Carried, Some(to)) if *to == self.key => f.write_str(": as it is"),
            (Fate::Carried, Some(to)) => write!(f, ": is {to}"),
            (Fate::Carried, None) => f.write_str(": carried"),
            (Fate::Changed { how }, Some(to)) => write!(f, ": is {to}; {how}"),
            (Fate::Changed { how }, None) => write!(f, ": {how}"),
            (Fate::Idle { why }, _) => write!(f, ": not needed: {why}"),
            (Fate::Left { why }, _) => write!(f, ": not carried: {why}"),
        }
    }
}
