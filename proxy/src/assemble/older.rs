//! What other versions of a model on this host have.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_model::{Chunk, Manifest, Sum};

use super::place::{MANIFEST, names};

/// The files and chunks of the versions that are whole. What they hold is only believed once it was read.
#[derive(Debug, Default)]
pub(super) struct Older {
    files: HashMap<(Sum, u64), PathBuf>,
    chunks: HashMap<Sum, (PathBuf, u64)>,
}

impl Older {
    /// Of the versions in a model's folder. One whose manifest can't be read has nothing to give: all that costs is to send it.
    pub(super) fn of(folder: &Path) -> Self {
        let mut older = Self::default();
        for name in names(folder).unwrap_or_default() {
            let Some(version) = name.strip_suffix(MANIFEST) else { continue };
            let whole = folder.join(version);
            let read = fs::read(folder.join(&name)).ok();
            let Some(manifest) = read.and_then(|bytes| Manifest::parse(&bytes).ok()) else { continue };
            if whole.is_dir() {
                older.add(&whole, &manifest);
            }
        }
        older
    }

    fn add(&mut self, whole: &Path, manifest: &Manifest) {
        for file in manifest.files() {
            let path = whole.join(&file.path);
            let mut offset = 0;
            for chunk in &file.chunks {
                self.chunks.entry(chunk.sha256).or_insert_with(|| (path.clone(), offset));
                offset += u64::from(chunk.size);
            }
            self.files.insert((file.sha256, file.size), path);
        }
    }

    /// A file with that sum and length.
    pub(super) fn file(&self, sum: Sum, size: u64) -> Option<&Path> {
        self.files.get(&(sum, size)).map(PathBuf::as_path)
    }

    /// Where a chunk is, in which file.
    pub(super) fn chunk(&self, chunk: &Chunk) -> Option<(&Path, u64)> {
        self.chunks.get(&chunk.sha256).map(|(path, offset)| (path.as_path(), *offset))
    }
}
