use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use cutover_core::BusUser;
use serde::{Deserialize, Serialize};

use super::home::write_private;
use super::{Error, Home, Keyring};

/// The account of all who are told apart by none.
const ACCOUNT_OF_ALL: &str = "$G";

/// Where the embedded NATS server listens and who may talk to it: made once, and kept in the home.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NatsAccount {
    port: u16,
    user: String,
    password: String,
    /// Whether the server tells its users apart: it stays so.
    #[serde(default)]
    secure: bool,
}

impl NatsAccount {
    /// Reads the account of a home, and makes it where there is none. A port that somebody else has taken meanwhile is
    /// replaced. To be called while nothing runs from this home.
    pub(super) fn of(home: &Home, secure: bool) -> Result<Self, Error> {
        let path = home.nats_account();
        let mut account = match fs::read(&path) {
            Ok(text) => Self::from_json(&path, &text)?.with_free_port()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::new()?,
            Err(source) => return Err(Error::File { doing: "read", path, source }),
        };
        account.secure |= secure;
        let text =
            serde_json::to_vec(&account).map_err(|source| Error::Malformed { path: path.clone(), source })?;
        write_private(&path, &text)?;
        Ok(account)
    }

    /// Brings the streams into the account in which a server that tells its users apart has them, from the one that every server has:
    /// they were there before it did, or under an earlier version. Where there are some in both, nobody can know which are wanted. To be called while nothing runs from this home.
    pub(super) fn settle_streams(&self, home: &Home) -> Result<(), Error> {
        let (before, now) = (home.streams_of(ACCOUNT_OF_ALL), home.streams_of(&BusUser::Operator.account()));
        if !self.secure || !has_streams(&before) {
            return Ok(());
        }
        if has_streams(&now) {
            return Err(Error::TwoJournals { before, now });
        }
        if now.exists() {
            // Nothing is in it but what the server has made for itself.
            fs::remove_dir_all(&now).map_err(Error::file("remove", &now))?;
        }
        fs::rename(&before, &now).map_err(Error::file("move", &before))
    }

    /// Whether the server tells its users apart.
    pub(super) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Its keys, made where they are not there: the programs open by them what is sealed to them, and the users of a server that tells
    /// them apart enter by them.
    pub(super) fn keyring(home: &Home) -> Result<Keyring, Error> {
        Keyring::of(&home.keys(), &[Ipv4Addr::LOCALHOST.to_string()])
    }

    /// The address for clients. It holds the password, where there is one.
    pub(super) fn url(&self) -> String {
        if self.secure {
            return format!("tls://{}:{}", Ipv4Addr::LOCALHOST, self.port);
        }
        format!("nats://{}:{}@{}:{}", self.user, self.password, Ipv4Addr::LOCALHOST, self.port)
    }

    /// The configuration of a server for this account, whose journal lies in the home.
    pub(super) fn config(&self, home: &Home, keyring: &Keyring) -> String {
        let users = if self.secure {
            keyring.server_config()
        } else {
            format!("authorization {{\n  user: {}\n  password: {}\n}}\n", self.user, self.password)
        };
        format!(
            "# Written by `cutover up`, each time anew.\n\
             server_name: cutover-embedded\n\
             listen: \"{address}:{port}\"\n\
             max_payload: 1MB\n\
             pid_file: {pid_file}\n\
             {users}\
             jetstream {{\n  store_dir: {store}\n  \
             # What was acknowledged is on the disk: an outcome that a power cut forgets would be done twice.\n  \
             sync_interval: always\n}}\n",
            address = Ipv4Addr::LOCALHOST,
            port = self.port,
            pid_file = quoted(&home.folder().join("nats.pid")),
            // The server puts a folder `jetstream` there.
            store = quoted(home.folder()),
        )
    }

    fn new() -> Result<Self, Error> {
        Ok(Self {
            port: free_port()?,
            user: "cutover".to_owned(),
            password: random_password()?,
            secure: false,
        })
    }

    fn from_json(path: &Path, text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text).map_err(|source| Error::Malformed { path: path.to_owned(), source })
    }

    fn with_free_port(self) -> Result<Self, Error> {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
            Ok(_) => Ok(self),
            Err(_) => Ok(Self { port: free_port()?, ..self }),
        }
    }
}

/// Whether an account of the server's has streams.
fn has_streams(account: &Path) -> bool {
    account.join("streams").read_dir().is_ok_and(|mut streams| streams.next().is_some())
}

fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(Error::file("find a free port on", "loopback"))
}

/// 192 random bits. They begin with a letter, as the configuration would read some digits as a number.
fn random_password() -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 24];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::file("read", source))?;
    Ok(bytes.iter().fold("p".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

/// A path as a string of the server's configuration language.
pub(super) fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_on_loopback_with_a_password_and_a_journal_that_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let account = NatsAccount::of(&home, false).unwrap();
        let config = account.config(&home, &NatsAccount::keyring(&home).unwrap());
        assert!(config.contains(&format!("listen: \"127.0.0.1:{}\"\n", account.port)));
        assert!(config.contains("sync_interval: always"));
        assert!(config.contains(&format!("store_dir: \"{}\"", home.folder().display())));
        assert!(config.contains(&account.password) && account.password.len() == 49);
        assert!(account.url().ends_with(&format!("@127.0.0.1:{}", account.port)));
    }

    #[test]
    fn it_is_made_once_but_for_a_port_that_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let first = NatsAccount::of(&home, false).unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.port)).unwrap();
        let second = NatsAccount::of(&home, false).unwrap();
        assert_eq!(second.password, first.password);
        assert_ne!(second.port, first.port);
    }

    #[test]
    fn a_server_that_tells_its_users_apart_has_no_password_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        NatsAccount::of(&home, true).unwrap();
        let account = NatsAccount::of(&home, false).unwrap();
        let keyring = NatsAccount::keyring(&home).unwrap();
        let config = account.config(&home, &keyring);
        assert!(!config.contains(&account.password) && !account.url().contains(&account.password));
        assert!(account.url().starts_with("tls://127.0.0.1:"));
        assert!(config.contains("tls {") && keyring.public().values().all(|key| config.contains(key)));
    }

    #[test]
    fn streams_are_moved_once_and_where_both_accounts_have_some_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let (before, now) = (home.streams_of("$G"), home.streams_of("JOURNAL"));
        fs::create_dir_all(before.join("streams/cutover")).unwrap();
        NatsAccount::of(&home, false).unwrap().settle_streams(&home).unwrap();
        assert!(before.exists() && !now.exists());
        let account = NatsAccount::of(&home, true).unwrap();
        account.settle_streams(&home).unwrap();
        assert!(!before.exists() && now.join("streams/cutover").exists());
        fs::create_dir_all(&before).unwrap();
        account.settle_streams(&home).unwrap();
        fs::create_dir_all(before.join("streams/cutover")).unwrap();
        let refused = account.settle_streams(&home).unwrap_err().to_string();
        assert!(
            [&before, &now].into_iter().all(|path| refused.contains(&*path.to_string_lossy())),
            "{refused}"
        );
        assert!(before.join("streams/cutover").exists() && now.join("streams/cutover").exists());
    }

    #[test]
    fn two_homes_have_two_passwords() {
        assert_ne!(random_password().unwrap(), random_password().unwrap());
    }

    #[test]
    fn a_path_can_not_end_its_string() {
        assert_eq!(quoted(Path::new(r#"/a "b"\c"#)), r#""/a \"b\"\\c""#);
    }
}
