//! Files that are not whole yet. Whoever writes one has it locked (flock(2)): what nobody has locked was left by a program that was
//! killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// A new file in `folder`. Who sweeps in the moment between the file and its lock takes it for one that was left: then another
/// one is made.
pub(super) fn create(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = NamedTempFile::new_in(folder)?;
        file.as_file().lock()?;
        if file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes the files of `folder` that nobody has locked. What can't be removed, as it is another user's, is left.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Its owner may move or remove it at any moment: what has gone needs no removing.
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() && fs::remove_file(&path).is_ok() {
            tracing::info!(file = %path.display(), "removed an abandoned upload");
        }
    }
    Ok(())
}
