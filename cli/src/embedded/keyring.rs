//! What a bus that tells its users apart is entered by: a key for each user, and a certificate of the server's by an authority of
//! its own, whose key is thrown away.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_bus::{Access, Key};
use cutover_core::{BusUser, accounts};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Error;
use super::home::write_private;
use super::nats_account::quoted;

/// A folder of keys and certificates; every file in it is its owner's alone.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    folder: PathBuf,
    keys: BTreeMap<BusUser, Arc<Key>>,
}

/// The variable of a user's public key, in a file that a NATS server's environment is read from.
fn variable(user: BusUser) -> String {
    format!("CUTOVER_BUS_{}", user.as_str().to_uppercase())
}

impl Keyring {
    /// Opens a folder, and makes what isn't there. `names` are the names and addresses that the server is reached by.
    ///
    /// # Errors
    /// A folder that can't be written to; a key in it that is none.
    pub(crate) fn of(folder: &Path, names: &[String]) -> Result<Self, Error> {
        let folder = std::path::absolute(folder).map_err(Error::file("find", folder))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(Error::file("create", &folder))?;
        let mut keyring = Self { folder, keys: BTreeMap::new() };
        for user in BusUser::ALL {
            let file = keyring.key_of(user);
            if !file.exists() {
                write_private(&file, Key::new(user).to_text().as_bytes())?;
            }
            keyring.keys.insert(user, Arc::new(Key::read(&file)?));
        }
        // The server's key is written last: where it is, all is.
        if !keyring.server_key().exists() {
            keyring.certify(names)?;
        }
        Ok(keyring)
    }

    /// How a user enters the bus at an address.
    pub(crate) fn access(&self, url: &str, user: BusUser) -> Access {
        Access {
            url: url.to_owned(),
            key: self.keys.get(&user).cloned(),
            roots: Some(self.roots()),
            certificate: None,
        }
    }

    /// What a program is told of it in its environment.
    pub(super) fn environment(&self, user: BusUser) -> [(&'static str, OsString); 2] {
        [("CUTOVER_NATS_KEY", self.key_of(user).into()), ("CUTOVER_NATS_CA", self.roots().into())]
    }

    /// By what a program opens what is sealed to it, in its environment.
    pub(super) fn sealing_key(&self, user: BusUser) -> (&'static str, OsString) {
        ("CUTOVER_SEALING_KEY", self.key_of(user).into())
    }

    /// The public keys.
    pub(crate) fn public(&self) -> BTreeMap<BusUser, String> {
        self.keys.iter().map(|(user, key)| (*user, key.public())).collect()
    }

    /// The part of a server's configuration that lets these users in, and nobody else.
    pub(super) fn server_config(&self) -> String {
        let (certificate, key) = (quoted(&self.certificate()), quoted(&self.server_key()));
        let tls = format!("tls {{\n  cert_file: {certificate}\n  key_file: {key}\n}}\n");
        tls + &accounts(&self.public())
    }

    /// Writes the public keys down, as variables for the environment of a NATS server.
    ///
    /// # Errors
    /// A folder that can't be written to.
    pub(crate) fn write_users(&self) -> Result<(), Error> {
        let lines = self.public().into_iter().map(|(user, key)| format!("{}={key}\n", variable(user)));
        write_private(&self.folder.join("users.env"), lines.collect::<String>().as_bytes())
    }

    fn certify(&self, names: &[String]) -> Result<(), Error> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Cutover's bus");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        write_private(&self.roots(), authority.pem().as_bytes())?;
        write_private(&self.certificate(), certificate.pem().as_bytes())?;
        write_private(&self.server_key(), key.serialize_pem().as_bytes())
    }

    fn key_of(&self, user: BusUser) -> PathBuf {
        self.folder.join(format!("{user}.key"))
    }

    fn roots(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    fn server_key(&self) -> PathBuf {
        self.folder.join("server-key.pem")
    }
}

/// The public keys of those who write into the journal, as a file of [`Keyring::write_users`] names them.
///
/// # Errors
/// A file that can't be read, or that lacks one of them.
pub(crate) fn users(file: &Path) -> Result<BTreeMap<BusUser, String>, Error> {
    let text = std::fs::read_to_string(file).map_err(Error::file("read", file))?;
    let known: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.trim().split_once('=')).collect();
    let user = |user: BusUser| {
        let name = variable(user);
        let key = known.get(name.as_str()).ok_or_else(|| Error::NoUser { path: file.to_owned(), name })?;
        Ok((user, (*key).to_owned()))
    };
    BusUser::ALL.into_iter().filter(|user| user.signs()).map(user).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_file_is_its_owners_alone_and_stays_what_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("bus");
        let keyring = Keyring::of(&folder, &["localhost".to_owned()]).unwrap();
        keyring.write_users().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), BusUser::ALL.len() + 4);
        assert!(files.iter().all(|file| mode(file) == 0o600));
        let read: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        let again = Keyring::of(&folder, &["other".to_owned()]).unwrap();
        assert_eq!(again.public(), keyring.public());
        assert_eq!(files.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>(), read);
        let mut signing = keyring.public();
        signing.retain(|user, _| user.signs());
        assert_eq!(users(&folder.join("users.env")).unwrap(), signing);
    }

    #[test]
    fn the_servers_configuration_of_this_repository_is_what_the_table_says() {
        let config =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/nats.conf")).unwrap();
        let keys = BusUser::ALL.map(|user| (user, format!("${}", variable(user))));
        assert!(config.contains(&accounts(&keys.into())), "write it anew: accounts of cutover-core");
    }
}
