//! The value of a secret.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// A secret value. It has no `Display` and no `Serialize`, and its `Debug` tells nothing, so that it can't end up in a
/// log line, a span, a message or an error by accident; its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value into keeping.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
