//! Verification of host keys against a `known_hosts` file, whose format is that of sshd(8), "SSH_KNOWN_HOSTS FILE
//! FORMAT".

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::Preferred;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};
use sha1::Sha1;
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt;

use crate::{Error, HostAddress, host_certificate};

/// What `known_hosts` records about one host.
#[derive(Debug)]
pub(crate) struct KnownHost {
    address: HostAddress,
    path: PathBuf,
    records: Vec<Record>,
    accept_new: bool,
}

#[derive(Debug)]
struct Record {
    line: usize,
    marker: Option<Marker>,
    key: PublicKey,
}

impl Record {
    fn is_revoked(&self) -> bool {
        self.marker == Some(Marker::Revoked)
    }
}

impl KnownHost {
    /// Reads what the file at `path` says about `address`; a file that doesn't exist says nothing. With `accept_new`,
    /// a key is recorded where there is none.
    pub(crate) async fn read(path: &Path, address: &HostAddress, accept_new: bool) -> Result<Self, Error> {
        let text = match fs::read(path).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::KnownHosts { path: path.into(), source }),
        };
        Ok(Self {
            address: address.clone(),
            path: path.into(),
            records: records(&text, &name(address)),
            accept_new,
        })
    }

    /// The preferred algorithms with the recorded types of keys first, as ssh does: a host with several keys then
    /// shows one that can be compared, and one that shows another type doesn't have the recorded key any more. A certificate
    /// is asked for where there is an authority.
    pub(crate) fn preferred(&self) -> Preferred {
        if self.address.host_key.is_some() {
            return Preferred::DEFAULT;
        }
        let mut keys = Preferred::DEFAULT.key.into_owned();
        keys.sort_by_key(|algorithm| {
            !self.keys().any(|record| same_type(algorithm, &record.key.algorithm()))
        });
        let certificates = if self.authorities().next().is_some() { keys.clone() } else { Vec::new() };
        Preferred { key: keys.into(), host_key_certificates: certificates.into(), ..Preferred::DEFAULT }
    }

    /// The recorded keys of the host, which aren't revoked.
    fn keys(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.marker.is_none())
    }

    /// The authorities whose certificates are accepted for the host.
    fn authorities(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.marker == Some(Marker::CertAuthority))
    }

    /// Accepts the shown certificate, or says why not. The key in it may be recorded by itself.
    pub(crate) async fn verify_certificate(&self, certificate: &Certificate) -> Result<(), Error> {
        let key = PublicKey::from(certificate.public_key().clone());
        let authority = PublicKey::from(certificate.signature_key().clone());
        for key in [&key, &authority] {
            self.refuse_revoked(key)?;
        }
        if self.keys().any(|record| record.key.key_data() == key.key_data()) {
            return Ok(());
        }
        let authorities = self.authorities().map(|record| record.key.fingerprint(HashAlg::Sha256)).collect();
        host_certificate::check(certificate, &self.address.address, authorities).map_err(|reason| {
            Error::HostCertificate {
                host: self.address.to_string(),
                certificate: format!("{:?} of {}", certificate.key_id(), fingerprint(&authority)).into(),
                reason: reason.into(),
                known_hosts: self.path.clone(),
            }
        })
    }

    fn refuse_revoked(&self, key: &PublicKey) -> Result<(), Error> {
        let same = |record: &&Record| record.key.key_data() == key.key_data() && record.is_revoked();
        match self.records.iter().find(same) {
            Some(record) => Err(Error::HostKeyRevoked {
                host: self.address.to_string(),
                fingerprint: fingerprint(key),
                known_hosts: self.path.clone(),
                line: record.line,
            }),
            None => Ok(()),
        }
    }

    /// Accepts the shown key, or says why not.
    pub(crate) async fn verify(&self, key: &PublicKey) -> Result<(), Error> {
        let host = self.address.to_string();
        let fingerprint = fingerprint(key);
        let known_hosts = self.path.clone();
        self.refuse_revoked(key)?;
        if let Some(wanted) = &self.address.host_key {
            return if key.fingerprint(HashAlg::Sha256).to_string() == *wanted {
                Ok(())
            } else {
                Err(Error::HostKeyOther { host, fingerprint, wanted: wanted.clone() })
            };
        }
        if self.keys().any(|record| record.key.key_data() == key.key_data()) {
            return Ok(());
        }
        let of_this_type = self.keys().find(|record| same_type(&key.algorithm(), &record.key.algorithm()));
        if let Some(record) = of_this_type.or_else(|| self.keys().next()) {
            return Err(Error::HostKeyChanged { host, fingerprint, known_hosts, line: record.line });
        }
        if !self.accept_new {
            return Err(Error::HostKeyUnknown { host, fingerprint, known_hosts });
        }
        self.record(key).await.map_err(|source| Error::KnownHosts { path: known_hosts, source })?;
        tracing::info!(%host, %fingerprint, known_hosts = %self.path.display(), "recorded the key of a new host");
        Ok(())
    }

    async fn record(&self, key: &PublicKey) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await?;
        }
        let unended =
            fs::read(&self.path).await.is_ok_and(|text| text.last().is_some_and(|byte| *byte != b'\n'));
        let key = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(io::Error::other)?;
        let line = format!("{}{} {key}\n", if unended { "\n" } else { "" }, name(&self.address));
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).await?;
        // One write in append mode: two processes that learn at once don't mix their lines.
        file.write_all(line.as_bytes()).await?;
        file.sync_all().await
    }
}

/// What people compare.
fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

/// The name that a host is recorded under: the port stands beside it unless it is 22.
fn name(address: &HostAddress) -> String {
    let host = address.address.to_ascii_lowercase();
    if address.port == 22 { host } else { format!("[{host}]:{}", address.port) }
}

fn records(text: &str, name: &str) -> Vec<Record> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with('#'))
        .filter_map(|(index, line)| Some((index + 1, line.trim().parse::<Entry>().ok()?)))
        .filter(|(_, entry)| names(entry.host_patterns(), name))
        .map(|(line, entry)| Record {
            line,
            marker: entry.marker().cloned(),
            key: entry.public_key().clone(),
        })
        .collect()
}

fn names(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|hmac| hmac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let matching = |pattern: &str| glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
            patterns.iter().any(|pattern| matching(pattern))
                && !patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(matching)
        }
    }
}

/// Matches `*` (any run of characters) and `?` (any one), in a time of the one's length times the other's: of several `*` only the
/// last is gone back to.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read, mut star) = (0, 0, None);
    while let Some(byte) = text.get(read) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                at += 1;
                star = Some((at, read));
            }
            (Some(expected), _) if *expected == b'?' || expected == byte => (at, read) = (at + 1, read + 1),
            (_, Some((after, from))) => {
                (at, read) = (after, from + 1);
                star = Some((after, read));
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

/// Whether a key of one algorithm can be shown under the other: an RSA key goes with every hash.
fn same_type(left: &Algorithm, right: &Algorithm) -> bool {
    left == right || matches!((left, right), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBJxiTcvJ9z44g2VSWJPsPRTE\
                         x1OX6xIDlCy/F5BeJeXv5MU8sFOUL4/hNkLeEdZ8vwgMRu0AEoUxcjRQ/vYfJaQ=";

    async fn verify(text: &str, host: &str, port: u16, key: &str) -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        std::fs::write(&path, text).unwrap();
        let known = KnownHost::read(&path, &HostAddress::new("root", host, port), false).await.unwrap();
        known.verify(&key.parse().unwrap()).await
    }

    #[test]
    fn patterns_match_as_in_ssh_and_in_a_time_that_ends() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "web"),
            ("**", "web"),
            ("w?b", "web"),
            ("w*b", "wb"),
            ("*.example", "a.example.example"),
            ("*a*b*c", "xaybzabc"),
            ("", ""),
            ("we*", "web-1"),
        ] {
            assert!(glob(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("w?b", "wb"),
            ("*a", "ab"),
            ("a*b*c", "abb"),
            ("web", "web-1"),
            ("web-1", "web"),
        ] {
            assert!(!glob(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        // By trying each `*` at each place this would take longer than the world is old.
        assert!(!glob(format!("{}b", "*a".repeat(100)).as_bytes(), "a".repeat(200).as_bytes()));
    }

    #[tokio::test]
    async fn plain_listed_and_wildcard_names_are_known() {
        for names in
            ["web-1.example", "WEB-1.example", "other,web-1.example", "*.example", "web-?.example", "*"]
        {
            verify(&format!("{names} {KEY} a comment\n"), "web-1.example", 22, KEY).await.unwrap();
        }
        for names in ["web-2.example", "*.example,!web-1.example", "web-1", "[web-1.example]:22"] {
            let error = verify(&format!("{names} {KEY}\n"), "web-1.example", 22, KEY).await.unwrap_err();
            assert!(matches!(error, Error::HostKeyUnknown { .. }), "{names}: {error}");
        }
    }

    #[tokio::test]
    async fn hashed_names_are_known() {
        let text = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= {KEY}\n");
        verify(&text, "example.com", 22, KEY).await.unwrap();
        let error = verify(&text, "example.org", 22, KEY).await.unwrap_err();
        assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error}");
    }

    #[tokio::test]
    async fn another_port_is_another_host() {
        verify(&format!("[web]:2222 {KEY}\n"), "web", 2222, KEY).await.unwrap();
        let error = verify(&format!("web {KEY}\n"), "web", 2222, KEY).await.unwrap_err();
        assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_changed_key_is_named_with_its_line() {
        let text = format!("# web is our first host\n\nweb {OTHER}\n");
        let error = verify(&text, "web", 22, KEY).await.unwrap_err();
        assert!(matches!(error, Error::HostKeyChanged { line: 3, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_key_of_a_type_that_is_not_recorded_counts_as_changed() {
        let error = verify(&format!("web {ECDSA}\n"), "web", 22, KEY).await.unwrap_err();
        assert!(matches!(error, Error::HostKeyChanged { line: 1, .. }), "{error}");
        verify(&format!("web {ECDSA}\nweb {KEY}\n"), "web", 22, KEY).await.unwrap();
    }

    #[tokio::test]
    async fn a_revoked_key_is_refused_whatever_else_is_recorded() {
        let error = verify(&format!("web {KEY}\n@revoked * {KEY}\n"), "web", 22, KEY).await.unwrap_err();
        assert!(matches!(error, Error::HostKeyRevoked { line: 2, .. }), "{error}");
    }

    #[tokio::test]
    async fn lines_that_make_no_sense_are_passed_over() {
        verify(&format!("nonsense\nweb ssh-ed25519 !!!\nweb {KEY}\n"), "web", 22, KEY).await.unwrap();
    }

    #[tokio::test]
    async fn the_recorded_type_is_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        std::fs::write(&path, format!("web {ECDSA}\n")).unwrap();
        let known = KnownHost::read(&path, &HostAddress::new("root", "web", 22), false).await.unwrap();
        assert!(matches!(known.preferred().key.first(), Some(Algorithm::Ecdsa { .. })));
    }

    #[tokio::test]
    async fn a_new_key_is_recorded_once_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh/known_hosts");
        let address = HostAddress::new("root", "web", 2222);
        let read = || KnownHost::read(&path, &address, true);
        read().await.unwrap().verify(&KEY.parse().unwrap()).await.unwrap();
        read().await.unwrap().verify(&KEY.parse().unwrap()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("[web]:2222 {KEY}\n"));
        let error = read().await.unwrap().verify(&OTHER.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::HostKeyChanged { .. }), "{error}");
    }
}
