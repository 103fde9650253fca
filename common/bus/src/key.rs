//! The key of a user of the bus: an nkey, by which the server knows it, and which signs what it writes into the journal.

use std::fmt;
use std::path::{Path, PathBuf};

use cutover_core::BusUser;
use nkeys::{KeyPair, KeyPairType};

/// The key of a user. It doesn't print its secret.
pub struct Key {
    user: BusUser,
    pair: KeyPair,
}

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file can't be read.
    #[error("the key {} can't be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no key.
    #[error(
        "{} holds no key of the bus: expected one line of a user and the seed of an nkey, as in 'builder SU…'; `cutover up --secure` \
         and `cutover keys` write such files",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// A new one, for a user.
    pub fn new(user: BusUser) -> Self {
        Self { user, pair: KeyPair::new_user() }
    }

    /// Reads one from its file.
    ///
    /// # Errors
    /// A file that can't be read, or that holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = |source| KeyError::File { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(file)?;
        Self::from_text(&text).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// What its file holds.
    pub fn to_text(&self) -> String {
        format!("{} {}\n", self.user, self.seed())
    }

    /// Whose it is.
    pub const fn user(&self) -> BusUser {
        self.user
    }

    /// The public key: no secret.
    pub fn public(&self) -> String {
        self.pair.public_key()
    }

    pub(crate) fn seed(&self) -> String {
        // A pair that was made or read here has one.
        self.pair.seed().unwrap_or_default()
    }

    /// What it says to a text; none, where it can't.
    pub(crate) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(text).ok()
    }

    fn from_text(text: &str) -> Option<Self> {
        let (user, seed) = text.trim().split_once(char::is_whitespace)?;
        let pair = KeyPair::from_seed(seed.trim()).ok()?;
        let is_user = matches!(pair.key_pair_type(), KeyPairType::User);
        Some(Self { user: user.parse().ok()?, pair }).filter(|_| is_user)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.user, self.public())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Program;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_prints_no_secret() {
        let key = Key::new(BusUser::Program(Program::Builder));
        let read = Key::from_text(&key.to_text()).unwrap();
        assert_eq!((read.user(), read.public(), read.seed()), (key.user(), key.public(), key.seed()));
        assert!(!format!("{key:?}").contains(&key.seed()));
    }

    #[test]
    fn what_is_no_key_of_a_user_is_refused() {
        let key = Key::new(BusUser::Operator);
        let account = KeyPair::new_account().seed().unwrap();
        for text in [
            "",
            "operator",
            &key.seed(),
            "root SUABC",
            &format!("operator {account}"),
            &format!("root {}", key.seed()),
        ] {
            assert!(Key::from_text(text).is_none(), "{text}");
        }
    }
}
