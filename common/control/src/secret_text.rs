use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

/// A text that nobody but its reader may see: its `Debug` tells nothing, and its memory is overwritten when it is dropped.
/// On the wire it is a string like any other.
#[derive(Clone, PartialEq, Eq, Serialize)]
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

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What stands there instead may be the secret, in another form.
        let text = Zeroizing::<String>::deserialize(deserializer);
        text.map(Self).map_err(|_| Error::custom("a secret is no text"))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_read_in_its_place_is_never_repeated() {
        for text in ["4711", "-4711", "[4711]", "{\"4711\":1}", "\"4711\\x\"", "\"4711"] {
            let error = serde_json::from_str::<SecretText>(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("4711"), "{error}");
        }
        assert_eq!(serde_json::from_str::<SecretText>("\"4711\"").unwrap().expose(), "4711");
    }
}
