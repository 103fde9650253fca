//! The fence: which of two that want to change the same thing may.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The journal's id, made once with the journal. Another id means another journal, which can't be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalId(pub String);

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may act: the journal, and the sequence of the claim in it. Proxies and ledgers keep the highest that they
/// have seen and refuse a lower one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// The journal that the claim stands in.
    pub journal: JournalId,
    /// The claim's sequence in it.
    pub sequence: u64,
}
