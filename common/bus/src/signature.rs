//! Who has written an entry of the journal. A NATS server that lets users publish by subject does not settle it: it sends the
//! answer to a request wherever the request says, and an answer may be what the asker has stored elsewhere before. So an
//! entry is signed, and readers take from each user what it may write and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use cutover_core::{BusUser, JournalId, Subject};
use nkeys::KeyPair;

use crate::Key;
use crate::stored::Stored;

/// The header of a signature: the public key, and what it has signed in hex.
pub(crate) const SIGNATURE: &str = "Cutover-Signature";

/// Whose signatures a journal takes. It lies in the metadata of the journal's stream, which the operator alone may alter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// The sequence from which on entries are signed; those before are what the operator found when he set it up.
    pub(crate) from: u64,
    /// By public key. Nobody: entries need no signature.
    users: BTreeMap<String, BusUser>,
}

/// Why an entry is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nobody has signed it.
    Unsigned,
    /// Nobody of the roster has.
    Unknown,
    /// What was signed is something else: another content or subject, another journal, or another place in its order.
    Altered,
    /// Who has signed it may not write there.
    NotTheirs,
}

impl Roster {
    /// Of these public keys.
    pub(crate) fn new(from: u64, keys: &BTreeMap<BusUser, String>) -> Self {
        Self { from, users: keys.iter().map(|(user, key)| (key.clone(), *user)).collect() }
    }

    /// As metadata has it: `operator U…, builder U…`. What can't be read names nobody.
    pub(crate) fn read(from: Option<&String>, users: Option<&String>) -> Self {
        let from = from.and_then(|text| text.parse().ok()).unwrap_or_default();
        let user = |text: &str| {
            let (user, key) = text.split_once(' ')?;
            Some((key.to_owned(), user.parse().ok()?))
        };
        Self { from, users: users.iter().flat_map(|users| users.split(", ")).filter_map(user).collect() }
    }

    /// As metadata has it.
    pub(crate) fn to_text(&self) -> String {
        let users = self.users.iter().map(|(key, user)| format!("{user} {key}"));
        users.collect::<Vec<_>>().join(", ")
    }

    /// Whether it names the same users, from whichever sequence on.
    pub(crate) fn names(&self, keys: &BTreeMap<BusUser, String>) -> bool {
        self.users == Self::new(0, keys).users
    }

    /// Whether entries need no signature.
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Who has written a message.
    pub(crate) fn author(&self, journal: &JournalId, stored: &Stored) -> Result<BusUser, Flaw> {
        let (key, signature) =
            stored.signature.as_deref().and_then(|text| text.split_once(' ')).ok_or(Flaw::Unsigned)?;
        let user = self.users.get(key).ok_or(Flaw::Unknown)?;
        let signature = hex::decode(signature).map_err(|_| Flaw::Altered)?;
        let text = signed(journal, &stored.subject, stored.expected.as_deref(), &stored.content);
        let pair = KeyPair::from_public_key(key).map_err(|_| Flaw::Unknown)?;
        pair.verify(&text, &signature).map_err(|_| Flaw::Altered)?;
        Ok(*user)
    }

    /// Whether an entry of the log was written by one who may.
    pub(crate) fn admits(&self, journal: &JournalId, stored: &Stored) -> Result<(), Flaw> {
        if self.is_empty() || stored.sequence < self.from {
            return Ok(());
        }
        let user = self.author(journal, stored)?;
        // What is on no subject of the journal is said where it is read.
        let may = stored.subject.parse().map_or(true, |subject: Subject| user.may_write(&subject));
        if may { Ok(()) } else { Err(Flaw::NotTheirs) }
    }
}

/// The header's value for a message of a journal. `expected` is the sequence that must be the last on its subject: the server
/// sees to it when it stores the message, so that none can be stored a second time.
pub(crate) fn sign(
    key: &Key,
    journal: &JournalId,
    subject: &str,
    expected: Option<&str>,
    content: &[u8],
) -> Option<String> {
    let signature = key.sign(&signed(journal, subject, expected, content))?;
    Some(format!("{} {}", key.public(), hex::encode(signature)))
}

fn signed(journal: &JournalId, subject: &str, expected: Option<&str>, content: &[u8]) -> Vec<u8> {
    let mut text = format!("cutover 1\n{journal}\n{subject}\n{}\n", expected.unwrap_or("-")).into_bytes();
    text.extend_from_slice(content);
    text
}

impl Flaw {
    /// The reason by which it is counted.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Unknown => "unknown-key",
            Self::Altered => "wrong-signature",
            Self::NotTheirs => "wrong-author",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => "nobody has signed it",
            Self::Unknown => "it is signed by a key that the journal doesn't know",
            Self::Altered => "what was signed is something else",
            Self::NotTheirs => "who has signed it may not write that",
        })
    }
}
