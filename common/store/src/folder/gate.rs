//! Keeps whoever removes by age, and whoever makes content young, apart: between the look at an age and the removal nothing
//! may be renewed.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Error, Result};

/// How long it is waited for. It is held for one rename, or one removal.
const LIMIT: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(5);

/// A file that is locked (flock(2)): all processes of a machine see it, those in containers too, and a killed one lets go.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    path: PathBuf,
}

/// It is held until this is dropped.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "closing it unlocks it")] File);

impl Gate {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Many may make content young at once.
    pub(super) async fn write(&self) -> Result<Held> {
        self.hold(File::try_lock_shared).await
    }

    /// One removes, and nobody makes content young.
    pub(super) async fn remove(&self) -> Result<Held> {
        self.hold(File::try_lock).await
    }

    async fn hold(&self, lock: fn(&File) -> std::result::Result<(), TryLockError>) -> Result<Held> {
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let file = file.map_err(Error::io("open", &self.path))?;
        let begun = Instant::now();
        loop {
            match lock(&file) {
                Ok(()) => return Ok(Held(file)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < LIMIT => sleep(AGAIN).await,
                Err(error) => return Err(Error::io("lock", &self.path)(error.into())),
            }
        }
    }
}
