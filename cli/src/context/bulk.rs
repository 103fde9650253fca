//! How much a build context holds.

use std::path::{Path, PathBuf};

use crate::size;

/// From so many bytes on, a context holds what no image needs: logs, dumps, dependencies that the build fetches anyway.
const MUCH: u64 = 500_000_000;

/// How much a build context holds, and which file is the most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bulk {
    bytes: u64,
    largest: Option<(PathBuf, u64)>,
}

impl Bulk {
    /// Counts a file, by its path in the context.
    pub(super) fn add(&mut self, file: &Path, bytes: u64) {
        self.bytes += bytes;
        if self.largest.as_ref().is_none_or(|(_, most)| bytes > *most) {
            self.largest = Some((file.to_owned(), bytes));
        }
    }

    /// What to tell of a context that is large, before somebody wonders what takes so long.
    pub(crate) fn warning(&self) -> Option<String> {
        let (file, bytes) = self.largest.as_ref().filter(|_| self.bytes > MUCH)?;
        Some(format!(
            "warning: the build context is {}, its largest file {} ({}): what the image doesn't need belongs into .dockerignore",
            size::bytes(self.bytes),
            file.display(),
            size::bytes(*bytes)
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_context_is_warned_of_and_its_largest_file_named() {
        let mut bulk = Bulk::default();
        assert_eq!(bulk.warning(), None);
        for (file, bytes) in [("a", 200_000_000), ("tmp/dump.sql", 250_000_000), ("b", 50_000_000)] {
            bulk.add(Path::new(file), bytes);
        }
        assert_eq!(bulk.warning(), None);
        bulk.add(Path::new("c"), 1);
        let warning = bulk.warning().unwrap();
        assert!(warning.contains("500.0 MB") && warning.contains("tmp/dump.sql (250.0 MB)"), "{warning}");
    }
}
