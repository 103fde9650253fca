//! Where a version lies.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cutover_model::{Refusal, Sum};

/// What stands behind the sum of a version that isn't whole yet.
pub(super) const PART: &str = ".part";
/// What stands behind it in the name of its manifest.
pub(super) const MANIFEST: &str = ".json";

/// A version of a model, and what is beside it.
#[derive(Debug)]
pub(super) struct Place {
    /// The model's folder.
    pub(super) folder: PathBuf,
    version: Sum,
}

impl Place {
    /// That of a version in `folder` below the folder of all models.
    pub(super) fn new(root: &Path, folder: &str, version: Sum) -> Result<Self, Refusal> {
        Ok(Self { folder: below(root, folder)?, version })
    }

    /// The version, once it is whole.
    pub(super) fn whole(&self) -> PathBuf {
        self.folder.join(self.version.to_string())
    }

    /// Until then.
    pub(super) fn part(&self) -> PathBuf {
        self.folder.join(format!("{}{PART}", self.version))
    }

    /// Its manifest.
    pub(super) fn manifest(&self) -> PathBuf {
        self.folder.join(format!("{}{MANIFEST}", self.version))
    }
}

/// A folder below another one.
pub(super) fn below(root: &Path, folder: &str) -> Result<PathBuf, Refusal> {
    if cutover_model::is_path(folder) {
        return Ok(root.join(folder));
    }
    Err(Refusal::Invalid { reason: format!("'{folder}' is no folder of models") })
}

/// Makes the names in a folder durable (fsync(2): those of a file are not made so with it).
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What isn't there is no error.
pub(super) fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of the files and folders in a folder, those that are UTF-8; none where it isn't there.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = absent(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}
