//! Whether a reference has a value, without the value.

use serde::{Deserialize, Serialize};

/// What a program says of a reference that it was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sighting {
    /// It has a value, of this version where its store has versions.
    Found {
        /// The version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// It has none.
    Missing {
        /// Why not, in one line.
        why: String,
        /// Whether the same may go better later, with nobody mending anything.
        retry: bool,
    },
}
