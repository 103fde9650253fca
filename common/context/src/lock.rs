//! Telling the folders of programs that run from those of programs that were killed: who holds a lock is alive.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

/// What the file of a lock is called, beside the folder of the same name.
const SUFFIX: &str = ".lock";

/// A lock that lasts as long as this, or the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    path: TempPath,
}

impl Lock {
    /// Takes a new lock in `all`. Who sweeps in the moment between the file and its lock takes it for one that nobody holds:
    /// then there is no such file any more, and another one is made.
    pub(crate) fn take(all: &Path, prefix: &str) -> io::Result<Self> {
        loop {
            let (file, path) = Builder::new().prefix(prefix).suffix(SUFFIX).tempfile_in(all)?.into_parts();
            file.lock()?;
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { _file: file, path });
            }
        }
    }

    /// The name of the folder that it stands for.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Removes the folders whose locks nobody holds. What can't be removed, as it is another user's, is left.
    pub(crate) fn sweep(all: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(all)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(prefix)
                && name.ends_with(SUFFIX)
                && let Some(_held) = hold(&path)
            {
                remove(&path);
            }
        }
        Ok(())
    }
}

/// The lock, if nobody has it: it is held until its folder is gone, so that nobody takes it meanwhile. What is no file isn't
/// opened: a pipe would wait for its other end.
fn hold(path: &Path) -> Option<File> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    is_file.then(|| File::open(path).ok())?.filter(|file| file.try_lock().is_ok())
}

fn remove(lock: &Path) {
    let folder: PathBuf = lock.with_extension("");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(folder = %folder.display(), %error, "a folder that nobody uses can't be removed");
        }
        _ => drop(fs::remove_file(lock)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Enough that some of them meet a sweep between the file and its lock.
    const TAKEN: u32 = 1_000;

    #[test]
    fn what_was_taken_is_there_whoever_sweeps_meanwhile() {
        let all = tempfile::tempdir().unwrap();
        let take = || {
            for _ in 0..TAKEN {
                let lock = Lock::take(all.path(), "test-").unwrap();
                let folder = all.path().join(lock.name());
                fs::create_dir(&folder).unwrap();
                assert!(lock.path.exists() && folder.exists());
                fs::remove_dir(&folder).unwrap();
            }
        };
        std::thread::scope(|threads| {
            let taking = [threads.spawn(take), threads.spawn(take)];
            while !taking.iter().all(|taking| taking.is_finished()) {
                Lock::sweep(all.path(), "test-").unwrap();
            }
        });
    }

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let all = tempfile::tempdir().unwrap();
        let held = Lock::take(all.path(), "test-").unwrap();
        let kept = all.path().join(held.name());
        let left = all.path().join("test-left");
        let other = all.path().join("other");
        for folder in [&kept, &left, &other] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(all.path().join("test-left.lock"), "").unwrap();
        Lock::sweep(all.path(), "test-").unwrap();
        assert!(kept.exists() && other.exists() && !left.exists());
        assert!(!all.path().join("test-left.lock").exists());
        drop(held);
        assert_eq!(fs::read_dir(all.path()).unwrap().count(), 2, "its own lock is gone with it");
    }
}
