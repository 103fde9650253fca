use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;

/// How long another command that starts or stops the control plane is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The folder that holds all state of an embedded control plane. It is its owner's alone (0700), as is every file in it
/// that holds a secret (0600).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    folder: PathBuf,
}

/// Keeps every other command from starting or stopping the control plane, until it is dropped or its process ends.
#[derive(Debug)]
pub(super) struct HomeLock {
    _file: File,
}

impl Home {
    /// Opens the folder, and makes it where it isn't there. One that is there keeps its mode: it may be anybody's.
    ///
    /// # Errors
    /// A folder that can't be made.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let folder = std::path::absolute(folder).map_err(Error::file("find", folder))?;
        let home = Self { folder };
        for folder in [home.folder.clone(), home.logs(), home.store()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(Error::file("create", &folder))?;
        }
        Ok(home)
    }

    /// The folder itself, absolute.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The artifact store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The logs of the processes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The log of one process.
    pub(super) fn log_of(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    /// The port and the account of the NATS server.
    pub(super) fn nats_account(&self) -> PathBuf {
        self.folder.join("nats.json")
    }

    /// The configuration of the NATS server.
    pub(super) fn nats_config(&self) -> PathBuf {
        self.folder.join("nats.conf")
    }

    /// What the NATS server keeps in the streams of one of its accounts.
    pub(super) fn streams_of(&self, account: &str) -> PathBuf {
        self.folder.join("jetstream").join(account)
    }

    /// The keys that values are sealed to, and by which a bus may tell its users apart; its certificates.
    pub(super) fn keys(&self) -> PathBuf {
        self.folder.join("bus")
    }

    /// What was installed because the machine didn't have it.
    pub(super) fn tools(&self) -> PathBuf {
        self.folder.join("tools")
    }

    /// What runs now; there while a supervisor runs, and after one that was killed.
    pub(super) fn record(&self) -> PathBuf {
        self.folder.join("supervisor.json")
    }

    /// Waits, at most 60 s, until no other command starts or stops the control plane. Cancel safe.
    pub(super) async fn lock(&self) -> Result<HomeLock, Error> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(Error::file("open", &path))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(HomeLock { _file: file }),
                Err(TryLockError::Error(source)) => return Err(Error::File { doing: "lock", path, source }),
                Err(TryLockError::WouldBlock) if began.elapsed() > LOCK_LIMIT => {
                    return Err(Error::Locked { path, waited: LOCK_LIMIT });
                }
                Err(TryLockError::WouldBlock) => sleep(LOCK_POLL).await,
            }
        }
    }
}

/// Writes a file that only its owner may read. It is there whole or not at all.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        // A file that a crash has left may have another mode.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(Error::file("write", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_and_its_secrets_are_their_owners_alone() {
        let parent = tempfile::tempdir().unwrap();
        let home = Home::open(&parent.path().join("home")).unwrap();
        write_private(&home.nats_account(), b"secret").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.folder()), 0o700);
        assert_eq!(mode(&home.nats_account()), 0o600);
    }

    #[tokio::test]
    async fn one_command_at_a_time_may_start_or_stop() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let first = home.lock().await.unwrap();
        let second = home.lock();
        tokio::pin!(second);
        let waited = tokio::time::timeout(Duration::from_millis(50), second.as_mut()).await;
        assert!(waited.is_err(), "two commands held the lock");
        drop(first);
        second.await.unwrap();
    }
}
