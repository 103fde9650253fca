//! What the shipper says to the helper on a host, and what that answers: JSON, one object per line, over one connection.
//!
//! After the line of an [`Assembly`] come the bytes of the manifest; after [`Answer::Lacks`], the chunks that it names, one
//! after the other and in that order, with nothing between: both sides know how long each is.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, Sum};

/// What the helper is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// To have a version of a model on the host.
    Assemble(Assembly),
    /// To have no others than some.
    Prune(Pruning),
}

/// A version that is to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assembly {
    /// The model's folder, in that of all models: names with slashes between.
    pub folder: String,
    /// The sum of its manifest.
    pub version: Sum,
    /// The length of the manifest, in bytes.
    pub manifest: usize,
}

/// What is to stay of a folder of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruning {
    /// The folder whose folders are models.
    pub folder: String,
    /// The models that stay, by their names in it, and of each the versions.
    pub kept: Vec<(String, Sum)>,
}

/// What the helper answers. The last answer to a call is one of `whole`, `pruned` and `refused`; others may come before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The helper is there: the first line of every connection.
    Ready {
        /// What it understands; this is version 1.
        protocol: u32,
    },
    /// It is at work, and has looked at so many bytes by now.
    Working {
        /// Bytes.
        looked: u64,
    },
    /// It needs these chunks, of those that [`crate::Manifest::chunks`] lists.
    Lacks(Ranges),
    /// The version is there, each file with its sum, and on the disk.
    Whole,
    /// So many versions went.
    Pruned {
        /// Their number.
        removed: u32,
    },
    /// It can't be done.
    Refused(Refusal),
}

/// Why the helper couldn't.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// The disk has no room for it.
    #[error("there are {free} bytes free, and it needs {needed}")]
    Space {
        /// Bytes that are free.
        free: u64,
        /// Bytes that it needs, with what must be left.
        needed: u64,
    },
    /// What came is not the chunk that was asked for.
    #[error("chunk {wanted} came as {found}")]
    Corrupt {
        /// The one that was asked for.
        wanted: Sum,
        /// What came.
        found: Sum,
    },
    /// What was asked for can't be.
    #[error("{reason}")]
    Invalid {
        /// Why not.
        reason: String,
    },
    /// The file system.
    #[error("{doing}: {reason}")]
    Io {
        /// What was being done, to which file.
        doing: String,
        /// Why not.
        reason: String,
        /// Whether the disk is full.
        full: bool,
    },
}

/// Numbers, as few words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges(Vec<(usize, usize)>);

impl FromIterator<usize> for Ranges {
    /// Of numbers that rise.
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => ranges.push((number, 1)),
            }
        }
        Self(ranges)
    }
}

impl Ranges {
    /// The numbers, where all are below `end` and rise; none where the other side has said something else.
    pub fn within(&self, end: usize) -> Option<Vec<usize>> {
        let mut numbers = Vec::new();
        let mut next = 0;
        for (first, count) in &self.0 {
            let range: Range<usize> = *first..first.checked_add(*count)?;
            if range.start < next || range.end > end {
                return None;
            }
            next = range.end;
            numbers.extend(range);
        }
        Some(numbers)
    }
}

impl Call {
    /// The line, with its end.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_line(&self) -> Result<Vec<u8>, Error> {
        line(self)
    }

    /// The call that a line is.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        Ok(serde_json::from_slice(line)?)
    }
}

impl Answer {
    /// The line, with its end.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_line(&self) -> Result<Vec<u8>, Error> {
        line(self)
    }

    /// The answer that a line is.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        Ok(serde_json::from_slice(line)?)
    }
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
