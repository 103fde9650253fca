use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cutover_control::Refusal;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::ledger::Ledger;
use crate::error::Error;
use crate::tls::Keyring;

/// The newest version of the files that is read. What is written has the oldest that says all of it: an older proxy reads
/// none that it would leave something out of.
const VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;

/// The ledger's file, small as it is written anew at every switch.
const STATE: &str = "state.json";

/// The keyring's.
const KEYRING: &str = "keyring.json";

/// The mode of the keyring's.
const SECRET: u32 = 0o600;

/// The ledger and the keyring in a folder, each in a file that is replaced as a whole and durable once written.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct StateDocument<L> {
    version: u32,
    ledger: L,
}

#[derive(Serialize, Deserialize)]
struct KeyringDocument<K> {
    version: u32,
    keyring: K,
}

impl Store {
    /// Opens the folder, which is made when it is missing, and reads the ledger that it holds; nothing yet is an empty one.
    ///
    /// # Errors
    ///
    /// When the folder or the file can't be used, the file is damaged, or another version wrote it.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Ledger), Error> {
        let store = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).map_err(|source| state_error("making the folder of", folder, source))?;
        let document: Option<StateDocument<Ledger>> = store.read(STATE).map_err(Unread::into_error)?;
        Ok((store, document.map(|document| document.ledger).unwrap_or_default()))
    }

    /// Reads the keyring; nothing yet is an empty one.
    ///
    /// # Errors
    ///
    /// As for the ledger; no message shows what stands in the file.
    pub(crate) fn keyring(&self) -> Result<Keyring, Error> {
        match self.read::<KeyringDocument<Keyring>>(KEYRING) {
            Ok(document) => Ok(document.map(|document| document.keyring).unwrap_or_default()),
            Err(Unread::Damaged(path, found)) => {
                let place = format!("line {}, column {}", found.line(), found.column());
                Err(Error::Damaged { path, source: serde_json::Error::custom(place) })
            }
            Err(unread) => Err(unread.into_error()),
        }
    }

    /// What was read of the keyring makes no sense.
    pub(crate) fn damaged_keyring(&self, why: fmt::Arguments<'_>) -> Error {
        Error::Damaged { path: self.folder.join(KEYRING), source: serde_json::Error::custom(why) }
    }

    /// Keeps a ledger in the place of the one before.
    ///
    /// # Errors
    ///
    /// [`Refusal::Storage`]; the old file is still in its place, or the new one is there and was not confirmed.
    pub(crate) async fn keep(&self, ledger: &Ledger) -> Result<(), Refusal> {
        let version = if ledger.has_ports() { VERSION } else { OLDEST_VERSION };
        let document = StateDocument { version, ledger: ledger.clone() };
        self.write(STATE, document, replace).await
    }

    /// Keeps a keyring in the place of the one before.
    ///
    /// # Errors
    ///
    /// As for a ledger.
    pub(crate) async fn keep_keyring(&self, keyring: &Keyring) -> Result<(), Refusal> {
        let document = KeyringDocument { version: OLDEST_VERSION, keyring: keyring.clone() };
        self.write(KEYRING, document, replace_secret).await
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Unread> {
        let path = self.folder.join(name);
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Unread::Failed(state_error("reading", &path, source))),
        };
        let damaged = |source| Unread::Damaged(path.clone(), source);
        let Header { version } = serde_json::from_slice(&text).map_err(damaged)?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(Unread::Failed(Error::StateVersion { path, found: version, known: VERSION }));
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    async fn write(
        &self,
        name: &str,
        document: impl Serialize + Send + 'static,
        replace: fn(&Path, &[u8]) -> io::Result<()>,
    ) -> Result<(), Refusal> {
        let path = self.folder.join(name);
        let written = spawn_blocking(move || {
            let text = serde_json::to_vec(&document).map(Zeroizing::new).map_err(io::Error::from);
            text.and_then(|text| replace(&path, &text))
                .map_err(|source| state_error("writing", &path, source))
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(Refusal::Storage { message: error.to_string() }),
        }
    }
}

/// Why a file was not read.
enum Unread {
    Damaged(PathBuf, serde_json::Error),
    Failed(Error),
}

impl Unread {
    fn into_error(self) -> Error {
        match self {
            Self::Damaged(path, source) => Error::Damaged { path, source },
            Self::Failed(error) => error,
        }
    }
}

/// Writes a new file beside the old one, makes it durable, puts it in the old one's place, and makes that durable too: a
/// crash at any moment leaves the one or the other. Blocks the calling thread.
///
/// # Errors
///
/// The old file is still in its place, or the new one is there and was not confirmed.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    put(path, text, |fresh| File::create(fresh))
}

/// The same with a file that is for this user alone.
fn replace_secret(path: &Path, text: &[u8]) -> io::Result<()> {
    put(path, text, |fresh| {
        // One that a crash has left behind may be for others too.
        match fs::remove_file(fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(SECRET).open(fresh)
    })
}

fn put(path: &Path, text: &[u8], create: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = create(Path::new(&fresh))?;
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_damaged_or_foreign_state_is_an_error_and_not_an_empty_start() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", "{\"version\":1}", "{\"version\":1,\"ledger\":{}}"] {
            fs::write(folder.path().join("state.json"), text).unwrap();
            assert!(matches!(Store::open(folder.path()), Err(Error::Damaged { .. })), "{text}");
        }
        fs::write(folder.path().join("state.json"), "{\"version\":3,\"routes\":[]}").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(Error::StateVersion { found: 3, .. })));
    }

    #[tokio::test]
    async fn what_an_older_proxy_would_leave_out_has_a_version_that_it_does_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut ledger) = Store::open(folder.path()).unwrap();
        let epoch = cutover_control::Epoch { journal: "j".into(), sequence: 1 };
        let target = cutover_control::Target { replica: "a".into(), address: ([127, 0, 0, 1], 80).into() };
        let key = cutover_control::ServiceKey::new("production", "app");
        let mut switch = cutover_control::Switch::new(key, epoch, "d1", "r1", vec![target]);
        for (ports, version) in [(Vec::new(), 1), (vec![8080], 2)] {
            let route = cutover_control::Route { path_prefixes: vec!["/cable".into()], ..Default::default() };
            let port = |number| cutover_control::Port {
                number,
                route: route.clone(),
                application_protocol: cutover_control::ApplicationProtocol::Http1,
            };
            switch.ports = ports.into_iter().map(port).collect();
            switch.epoch.sequence += 1;
            ledger.switch(&switch).unwrap();
            store.keep(&ledger).await.unwrap();
            let text = fs::read_to_string(folder.path().join(STATE)).unwrap();
            assert!(text.starts_with(&format!("{{\"version\":{version},")), "{text}");
            assert_eq!(Store::open(folder.path()).unwrap().1, ledger);
        }
    }

    #[test]
    fn a_damaged_keyring_is_an_error_that_shows_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        assert_eq!(store.keyring().unwrap(), Keyring::default());
        let text = r#"{"version":1,"keyring":{"certificates":{"a/b":"PRIVATE KEY"}}}"#;
        fs::write(folder.path().join(KEYRING), text).unwrap();
        let error = store.keyring().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }));
        assert!(!format!("{error:?}").contains("PRIVATE"), "{error:?}");
    }

    #[tokio::test]
    async fn the_keyring_is_for_its_user_alone_even_where_a_crash_has_left_a_file_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        fs::write(folder.path().join("keyring.json.new"), "").unwrap();
        store.keep_keyring(&Keyring::default()).await.unwrap();
        let mode = fs::metadata(folder.path().join(KEYRING)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SECRET);
        assert_eq!(store.keyring().unwrap(), Keyring::default());
    }

    #[tokio::test]
    async fn what_was_saved_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut ledger) = Store::open(&folder.path().join("deep/er")).unwrap();
        assert_eq!(ledger, Ledger::default());
        ledger.fences.adopt(&"production/app".parse().unwrap(), "j1");
        store.keep(&ledger).await.unwrap();
        assert_eq!(Store::open(&folder.path().join("deep/er")).unwrap().1, ledger);
    }
}
