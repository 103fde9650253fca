use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cutover_control::Refusal;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::error::Error;
use crate::ledger::Ledger;

/// The version of the file; one that has another is not read.
const VERSION: u32 = 1;

/// The ledger in a folder: `state.json`, replaced as a whole and durable once written.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Document<L> {
    version: u32,
    ledger: L,
}

impl Store {
    /// Opens the folder, which is made when it is missing, and reads what it holds; nothing yet is an empty ledger.
    ///
    /// # Errors
    ///
    /// When the folder or the file can't be used, the file is damaged, or another version wrote it.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Ledger), Error> {
        let store = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).map_err(|source| state_error("making the folder of", folder, source))?;
        let path = store.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((store, Ledger::default())),
            Err(source) => return Err(state_error("reading", &path, source)),
        };
        let damaged = |source| Error::Damaged { path: path.clone(), source };
        let Header { version } = serde_json::from_slice(&text).map_err(damaged)?;
        if version != VERSION {
            return Err(Error::StateVersion { path, found: version, known: VERSION });
        }
        let document: Document<Ledger> = serde_json::from_slice(&text).map_err(damaged)?;
        Ok((store, document.ledger))
    }

    /// Keeps a ledger in the place of the one before.
    ///
    /// # Errors
    ///
    /// [`Refusal::Storage`].
    pub(crate) async fn keep(&self, ledger: &Ledger) -> Result<(), Refusal> {
        let (store, ledger) = (self.clone(), ledger.clone());
        match spawn_blocking(move || store.save(&ledger)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(Refusal::Storage { message: error.to_string() }),
        }
    }

    /// Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// [`Error::State`]; the old file is still in its place, or the new one is there and was not confirmed.
    fn save(&self, ledger: &Ledger) -> Result<(), Error> {
        let path = self.path();
        let text = serde_json::to_vec(&Document { version: VERSION, ledger }).map_err(io::Error::from);
        let replaced = text.and_then(|text| replace(&path, &text));
        replaced.map_err(|source| state_error("writing", &path, source))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("state.json")
    }
}

/// Writes a new file beside the old one, makes it durable, puts it in the old one's place, and makes that durable too: a
/// crash at any moment leaves the one or the other. Blocks the calling thread.
///
/// # Errors
///
/// The old file is still in its place, or the new one is there and was not confirmed.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = File::create(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

pub(crate) fn state_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::State { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_damaged_or_foreign_state_is_an_error_and_not_an_empty_start() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", "{\"version\":1}", "{\"version\":1,\"ledger\":{}}"] {
            fs::write(folder.path().join("state.json"), text).unwrap();
            assert!(matches!(Store::open(folder.path()), Err(Error::Damaged { .. })), "{text}");
        }
        fs::write(folder.path().join("state.json"), "{\"version\":2,\"routes\":[]}").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(Error::StateVersion { found: 2, .. })));
    }

    #[test]
    fn what_was_saved_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut ledger) = Store::open(&folder.path().join("deep/er")).unwrap();
        assert_eq!(ledger, Ledger::default());
        ledger.fences.adopt(&"production/app".parse().unwrap(), "j1");
        store.save(&ledger).unwrap();
        assert_eq!(Store::open(&folder.path().join("deep/er")).unwrap().1, ledger);
    }
}
