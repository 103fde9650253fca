use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A service at a destination, written `production/app`: the unit that is routed, switched and fenced.
///
/// Neither part is empty or contains a `/`; this is checked when a key is parsed from its text form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ServiceKey {
    /// Where the service runs: `production`, `staging`.
    pub destination: String,
    /// The application's name.
    pub service: String,
}

impl ServiceKey {
    /// A key of its two parts.
    pub fn new(destination: impl Into<String>, service: impl Into<String>) -> Self {
        Self { destination: destination.into(), service: service.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.destination, self.service)
    }
}

impl FromStr for ServiceKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('/') {
            Some((destination, service))
                if !destination.is_empty() && !service.is_empty() && !service.contains('/') =>
            {
                Ok(Self::new(destination, service))
            }
            _ => Err(Error::Key { text: text.to_owned() }),
        }
    }
}

impl From<ServiceKey> for String {
    fn from(key: ServiceKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for ServiceKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_one_string_on_the_wire() {
        let key = ServiceKey::new("production", "app");
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, "\"production/app\"");
        assert_eq!(serde_json::from_str::<ServiceKey>(&json).unwrap(), key);
    }

    #[test]
    fn a_key_without_two_parts_is_refused() {
        for text in ["", "app", "/app", "production/", "a/b/c"] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text}");
        }
    }
}
