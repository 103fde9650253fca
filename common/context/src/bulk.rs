//! How much a build context holds.

use std::path::{Path, PathBuf};

/// From so many bytes on, a context holds what no image needs: logs, dumps, dependencies that the build fetches anyway.
const MUCH: u64 = 500_000_000;

/// How much a build context holds, and which file is the most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    bytes: u64,
    largest: Option<(PathBuf, u64)>,
}

impl Bulk {
    /// Counts a file, by its path in the context.
    pub(crate) fn add(&mut self, file: &Path, bytes: u64) {
        self.bytes += bytes;
        if self.largest.as_ref().is_none_or(|(_, most)| bytes > *most) {
            self.largest = Some((file.to_owned(), bytes));
        }
    }

    /// How many bytes all files have.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The largest file and its bytes, where the context is so large that it must hold what no image needs.
    pub fn excess(&self) -> Option<(&Path, u64)> {
        let (file, bytes) = self.largest.as_ref().filter(|_| self.bytes > MUCH)?;
        Some((file, *bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_a_large_context_the_largest_file_is_named() {
        let mut bulk = Bulk::default();
        assert_eq!(bulk.excess(), None);
        for (file, bytes) in [("a", 200_000_000), ("tmp/dump.sql", 250_000_000), ("b", 50_000_000)] {
            bulk.add(Path::new(file), bytes);
        }
        assert_eq!(bulk.excess(), None);
        bulk.add(Path::new("c"), 1);
        assert_eq!(bulk.bytes(), 500_000_001);
        assert_eq!(bulk.excess(), Some((Path::new("tmp/dump.sql"), 250_000_000)));
    }
}
