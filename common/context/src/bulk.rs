//! How much a build context holds.

use std::path::{Path, PathBuf};

use crate::suspect::is_model;

/// From so many bytes on, a context holds what no image needs: logs, dumps, dependencies that the build fetches anyway.
const MUCH: u64 = 500_000_000;

/// The same of a context of which nothing is left out: there is no `.dockerignore`.
const MUCH_OF_ALL: u64 = 100_000_000;

/// From so many bytes on, a file of a model weighs on every image that it is in.
const HEAVY: u64 = 10_000_000;

/// How much a build context holds, and which file is the most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    bytes: u64,
    largest: Option<(PathBuf, u64)>,
    model: Option<(PathBuf, u64)>,
    leaves_out: bool,
}

impl Bulk {
    /// Counts a file, by its path in the context.
    pub(crate) fn add(&mut self, file: &Path, bytes: u64) {
        self.bytes += bytes;
        if bytes >= HEAVY && self.model.is_none() && file.to_str().is_some_and(is_model) {
            self.model = Some((file.to_owned(), bytes));
        }
        if self.largest.as_ref().is_none_or(|(_, most)| bytes > *most) {
            self.largest = Some((file.to_owned(), bytes));
        }
    }

    /// A context of which something is left out: there is a `.dockerignore`.
    pub(crate) fn of_part() -> Self {
        Self { leaves_out: true, ..Self::default() }
    }

    /// A file that is a model, and its bytes: the first one.
    pub fn model(&self) -> Option<(&Path, u64)> {
        self.model.as_ref().map(|(file, bytes)| (file.as_path(), *bytes))
    }

    /// How many bytes all files have.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The largest file and its bytes, where the context is so large that it must hold what no image needs.
    pub fn excess(&self) -> Option<(&Path, u64)> {
        let much = if self.leaves_out { MUCH } else { MUCH_OF_ALL };
        let (file, bytes) = self.largest.as_ref().filter(|_| self.bytes > much)?;
        Some((file, *bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_a_large_context_the_largest_file_is_named() {
        let mut bulk = Bulk::of_part();
        assert_eq!(bulk.excess(), None);
        for (file, bytes) in [("a", 200_000_000), ("tmp/dump.sql", 250_000_000), ("b", 50_000_000)] {
            bulk.add(Path::new(file), bytes);
        }
        assert_eq!(bulk.excess(), None);
        bulk.add(Path::new("c"), 1);
        assert_eq!(bulk.bytes(), 500_000_001);
        assert_eq!(bulk.excess(), Some((Path::new("tmp/dump.sql"), 250_000_000)));
    }

    #[test]
    fn without_patterns_less_is_much_and_a_model_is_seen() {
        let mut bulk = Bulk::default();
        for (file, bytes) in [("models/small.onnx", 9_999_999), ("models/large.onnx", 90_000_001)] {
            bulk.add(Path::new(file), bytes);
        }
        assert_eq!(bulk.excess(), None);
        assert_eq!(bulk.model(), Some((Path::new("models/large.onnx"), 90_000_001)));
        bulk.add(Path::new("c"), 1);
        assert_eq!(bulk.excess(), Some((Path::new("models/large.onnx"), 90_000_001)));
    }
}
