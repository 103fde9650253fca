//! Who has written an entry of the journal. A NATS server that lets users publish by subject does not settle it: it sends the
//! answer to a request wherever the request says, and an answer may be what the asker has stored elsewhere before. So an
//! entry is signed, and readers take from each user what it may write and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use cutover_core::{BusUser, JournalId, Subject};
use nkeys::KeyPair;

use crate::stored::Stored;
use crate::{Error, Key};

/// The header of a signature: the public key, and what it has signed in hex.
pub(crate) const SIGNATURE: &str = "Cutover-Signature";

/// Whose signatures a journal takes. It lies in the metadata of the journal's stream, which the operator alone may alter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// The sequence from which on entries are signed; those before are what the operator found when he set it up. It never
    /// changes: whatever was left out once, stays so.
    from: u64,
    /// By public key. Nobody: entries need no signature.
    users: BTreeMap<String, Member>,
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    user: BusUser,
    /// None: it is in use.
    retired: Option<Last>,
}

/// The last sequences of the streams whose messages are signed: what a retired key has signed counts up to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    /// Of the journal.
    pub(crate) log: u64,
    /// Of leases and notes.
    pub(crate) lease: u64,
}

/// Why an entry is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nobody has signed it.
    Unsigned,
    /// Nobody of the roster has.
    Unknown,
    /// Somebody whose key was retired before.
    Retired,
    /// What was signed is something else: another content or subject, another journal, or another place in its order.
    Altered,
    /// Who has signed it may not write there.
    NotTheirs,
    /// It stands somewhere else than where its author has put it.
    Misplaced,
}

impl Roster {
    /// Of nobody yet, for entries from a sequence on.
    pub(crate) const fn new(from: u64) -> Self {
        Self { from, users: BTreeMap::new() }
    }

    /// As metadata has it: `operator U…, builder U… 120 3`, with the sequences up to which a retired key counts. What can't be
    /// read names nobody.
    pub(crate) fn read(from: Option<&String>, users: Option<&String>) -> Self {
        let from = from.and_then(|text| text.parse().ok()).unwrap_or_default();
        let member = |text: &str| {
            let words: Vec<&str> = text.split(' ').collect();
            let (user, key, retired) = match words[..] {
                [user, key] => (user, key, None),
                [user, key, log, lease] => {
                    (user, key, Some(Last { log: log.parse().ok()?, lease: lease.parse().ok()? }))
                }
                _ => return None,
            };
            Some((key.to_owned(), Member { user: user.parse().ok()?, retired }))
        };
        Self { from, users: users.iter().flat_map(|users| users.split(", ")).filter_map(member).collect() }
    }

    /// As metadata has it.
    pub(crate) fn to_text(&self) -> String {
        let users = self.users.iter().map(|(key, Member { user, retired })| match retired {
            None => format!("{user} {key}"),
            Some(Last { log, lease }) => format!("{user} {key} {log} {lease}"),
        });
        users.collect::<Vec<_>>().join(", ")
    }

    /// The first sequence at which entries are signed, as metadata has it.
    pub(crate) fn begin(&self) -> String {
        self.from.to_string()
    }

    /// The users whose key in use isn't one of these.
    pub(crate) fn other_than(&self, keys: &BTreeMap<BusUser, String>) -> Vec<BusUser> {
        let has = |user: BusUser, key: Option<&String>| key.is_some_and(|key| self.is_in_use(key, user));
        keys.keys().copied().filter(|user| !has(*user, keys.get(user))).collect()
    }

    /// The same, with these keys in use. Those that they replace are retired: what they have signed so far counts, and nothing
    /// after it. None: one of these was retired before, or was another user's; what it has signed since must not begin to count.
    pub(crate) fn with(&self, keys: &BTreeMap<BusUser, String>, last: Last) -> Option<Self> {
        let mut next = self.clone();
        for (key, member) in &mut next.users {
            let stays = keys.get(&member.user) == Some(key);
            if stays && member.retired.is_some() {
                return None;
            }
            if !stays {
                member.retired.get_or_insert(last);
            }
        }
        for (user, key) in keys {
            let member = next.users.entry(key.clone()).or_insert(Member { user: *user, retired: None });
            if member.user != *user {
                return None;
            }
        }
        Some(next)
    }

    /// The key of each user that is in use.
    pub(crate) fn keys(&self) -> BTreeMap<BusUser, String> {
        let in_use = self.users.iter().filter(|(_, member)| member.retired.is_none());
        in_use.map(|(key, member)| (member.user, key.clone())).collect()
    }

    /// Whether entries need no signature.
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether entries need a signature at a sequence of the journal.
    pub(crate) fn asks_at(&self, sequence: u64) -> bool {
        !self.is_empty() && sequence >= self.from
    }

    /// Whether a message is signed by a key that it names, be it retired.
    pub(crate) fn names_key_of(&self, stored: &Stored) -> bool {
        let key = stored.signature.as_deref().and_then(|text| text.split_once(' '));
        key.is_none_or(|(key, _)| self.users.contains_key(key))
    }

    /// Refuses a key whose signatures don't count.
    pub(crate) fn check(&self, key: &Key, doing: &'static str) -> Result<(), Error> {
        let (user, public) = (key.user(), key.public());
        if self.is_in_use(&public, user) { Ok(()) } else { Err(Error::NotTaken { doing, user, key: public }) }
    }

    /// Whether what a user signs with a key counts.
    fn is_in_use(&self, key: &str, user: BusUser) -> bool {
        self.users.get(key) == Some(&Member { user, retired: None })
    }

    /// Who has written a message of the log.
    pub(crate) fn author(&self, journal: &JournalId, stored: &Stored) -> Result<BusUser, Flaw> {
        self.author_until(journal, stored, |last| last.log)
    }

    /// Who has written a lease or a note.
    pub(crate) fn holder(&self, journal: &JournalId, stored: &Stored) -> Result<BusUser, Flaw> {
        self.author_until(journal, stored, |last| last.lease)
    }

    fn author_until(
        &self,
        journal: &JournalId,
        stored: &Stored,
        until: impl Fn(Last) -> u64,
    ) -> Result<BusUser, Flaw> {
        let (key, signature) =
            stored.signature.as_deref().and_then(|text| text.split_once(' ')).ok_or(Flaw::Unsigned)?;
        let member = self.users.get(key).ok_or(Flaw::Unknown)?;
        let signature = hex::decode(signature).map_err(|_| Flaw::Altered)?;
        let text = signed(journal, &stored.subject, stored.expected.as_deref(), &stored.content);
        let pair = KeyPair::from_public_key(key).map_err(|_| Flaw::Unknown)?;
        pair.verify(&text, &signature).map_err(|_| Flaw::Altered)?;
        if member.retired.is_some_and(|last| stored.sequence > until(last)) {
            return Err(Flaw::Retired);
        }
        Ok(member.user)
    }

    /// Whether an entry of the log was written by one who may. Whether it is the first message of its subject after the one that
    /// it expects to be the last, is looked at elsewhere.
    pub(crate) fn admits(&self, journal: &JournalId, stored: &Stored) -> Result<(), Flaw> {
        if !self.asks_at(stored.sequence) {
            return Ok(());
        }
        let user = self.author(journal, stored)?;
        // What is on no subject of the journal is said where it is read.
        let may = stored.subject.parse().map_or(true, |subject: Subject| user.may_write(&subject));
        if may { Ok(()) } else { Err(Flaw::NotTheirs) }
    }
}

/// The header's value for a message of a journal. `expected` is the sequence that must be the last on its subject: readers look
/// whether it was, so that none counts a second time.
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
            Self::Retired => "retired-key",
            Self::Misplaced => "wrong-place",
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
            Self::Retired => "it is signed by a key that was retired before",
            Self::Misplaced => "it was stored a second time, behind what came after it",
        })
    }
}
