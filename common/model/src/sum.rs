//! SHA-256 of content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The SHA-256 of a content; written as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum([u8; 32]);

/// A text that is no sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no SHA-256: expected 64 lowercase hex digits")]
pub struct InvalidSum(String);

/// The sum of a content that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Summing(Sha256);

impl Sum {
    /// The sum of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }
}

impl Summing {
    /// Takes in the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The sum of all pieces.
    pub fn sum(self) -> Sum {
        Sum(self.0.finalize().into())
    }
}

impl FromStr for Sum {
    type Err = InvalidSum;

    fn from_str(text: &str) -> Result<Self, InvalidSum> {
        let invalid = || InvalidSum(text.to_owned());
        let mut bytes = [0; 32];
        // One content has one name.
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(invalid());
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| invalid())?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sum {
    type Error = InvalidSum;

    fn try_from(text: String) -> Result<Self, InvalidSum> {
        text.parse()
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        hex::encode(sum.0)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({self})")
    }
}
