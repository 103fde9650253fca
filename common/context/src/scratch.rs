//! Folders for as long as they are needed, also where the program is killed.

use std::path::Path;

use tempfile::TempDir;

use crate::lock::Lock;
use crate::{Error, Result};

/// What the folders are called, so that those of programs that are gone can be found.
const PREFIX: &str = "cutover-scratch-";

/// An empty folder that only this user may enter. It goes when this does, and, should the program be killed before that, when
/// the next one is made on this machine.
#[derive(Debug)]
pub struct Scratch {
    // In this order: without its lock, the folder would be taken for one that nobody wants.
    folder: TempDir,
    _lock: Lock,
}

impl Scratch {
    /// A new one, in the folder for temporary files.
    ///
    /// # Errors
    /// A file system that is full, or read-only.
    pub fn new() -> Result<Self> {
        let all = std::env::temp_dir();
        Lock::sweep(&all, PREFIX).map_err(Error::io("clear", &all))?;
        let lock = Lock::take(&all, PREFIX).map_err(Error::io("make a folder in", &all))?;
        let folder = tempfile::Builder::new().prefix(&lock.name()).rand_bytes(0).tempdir_in(&all);
        Ok(Self { folder: folder.map_err(Error::io("make a folder in", &all))?, _lock: lock })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
