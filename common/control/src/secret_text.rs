use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A text that nobody but its reader may see: its `Debug` tells nothing, and its memory is overwritten when it is dropped.
/// On the wire it is a string like any other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text into keeping.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}
