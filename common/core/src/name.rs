//! Names that stand in subjects, labels and container names, checked once when they come in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' can't be a {what}: {rule}")]
pub struct InvalidName {
    what: &'static str,
    rule: &'static str,
    text: String,
}

/// One kind of name: a newtype over `String`, its doc, what people call it, its rule as text and as a predicate.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule, text: text.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

name!(
    /// An application's name.
    ServiceName, "service", "1 to 40 of a-z, 0-9 and -, a letter first, no - last", label
);
name!(
    /// A destination's name: production, staging.
    DestinationName, "destination", "1 to 40 of a-z, 0-9 and -, a letter first, no - last", label
);
name!(
    /// A role's name: jobs.
    RoleName, "role", "1 to 20 of a-z, 0-9 and -, a letter first, no - last; `web` is the service itself",
    |t| label(t) && t.len() <= 20 && t != "web"
);
name!(
    /// A sidecar's name: embedder. Replicas reach it by it, so that it is a name for DNS too.
    SidecarName, "sidecar", "1 to 20 of a-z, 0-9 and -, a letter first, no - last; `web` is the service itself",
    |t| label(t) && t.len() <= 20 && t != "web"
);
name!(
    /// An accessory's name: postgres. Replicas reach it by it, so that it is a name for DNS too.
    AccessoryName, "name of an accessory", "1 to 20 of a-z, 0-9 and -, a letter first, no - last; `web` is the service itself",
    |t| label(t) && t.len() <= 20 && t != "web"
);
name!(
    /// A model's name: minilm.
    ModelName, "model", "1 to 40 of a-z, 0-9 and -, a letter first, no - last", label
);
name!(
    /// The name of a source of requests, by which its hook is called.
    SourceName, "source", "1 to 40 of a-z, 0-9 and -, a letter first, no - last", label
);
name!(
    /// A host's name in the journal: its address as the deploy file gives it.
    HostName, "host", "an IP address, or a DNS name of a-z, 0-9, - and .", host
);
name!(
    /// A deployment's id: a ULID in lower case, so that ids sort by the time they were made.
    DeploymentId, "deployment id", "26 of 0-9 and a-z", |t| t.len() == 26
        && t.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
);
name!(
    /// What tells one event of a source from all others of it.
    EventId, "id of an event", "1 to 128 of letters, digits, and -, _, . and :", |t| (1..=128).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
);
name!(
    /// A commit's id in Git, in full.
    CommitId, "commit", "40 hex digits, or 64, in lower case", |t| matches!(t.len(), 40 | 64)
        && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
name!(
    /// A release's id: the first 12 hex digits of the SHA-256 of all that it is made of.
    ReleaseId, "release id", "12 hex digits", |t| t.len() == 12
        && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

/// The rule of a DNS label (RFC 1035, 2.3.1), shorter, so that names made of several still fit in 63 characters.
fn label(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A DNS name (RFC 1123, 2.1) in lower case, or an IP address. Neither can hold `_` or `=`: subjects rely on that.
fn host(text: &str) -> bool {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    (1..=253).contains(&text.len())
        && text.split('.').all(|part| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

impl DeploymentId {
    /// The last 6 characters, for people.
    pub fn short(&self) -> &str {
        self.0.split_at(20).1
    }
}

impl ReleaseId {
    /// The id of what `content` describes.
    pub fn of(content: &[u8]) -> Self {
        Self(crate::Digest::of(content).short().to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_subject_or_a_shell_are_refused() {
        for text in ["", "A", "a.b", "a*", ">", "a b", "-a", "a-", "ä", "$(id)", "a\n", &"a".repeat(41)] {
            assert!(text.parse::<ServiceName>().is_err(), "{text:?}");
        }
        for text in ["", "_", "a_b", "a..b", "-a", "a;b", "host name", "[::1]"] {
            assert!(text.parse::<HostName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn addresses_and_names_are_hosts() {
        for text in ["198.18.0.2", "::1", "web-1.example.com", "localhost"] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), text);
        }
    }
}
