//! By what a host is known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The fingerprint of a host's public key, as `ssh-keygen -l` shows it: `SHA256:` and 43 characters of base64 without padding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostKey(String);

/// A text that is no such fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the fingerprint of a host's key: write it as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows it on the host, \
     SHA256: and 43 characters"
)]
pub struct InvalidHostKey;

impl HostKey {
    /// The whole notation.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostKey {
    type Err = InvalidHostKey;

    fn from_str(text: &str) -> Result<Self, InvalidHostKey> {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        let valid =
            text.strip_prefix("SHA256:").is_some_and(|hash| hash.len() == 43 && hash.bytes().all(is_base64));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidHostKey) }
    }
}

impl TryFrom<String> for HostKey {
    type Error = InvalidHostKey;

    fn try_from(text: String) -> Result<Self, InvalidHostKey> {
        text.parse()
    }
}

impl From<HostKey> for String {
    fn from(key: HostKey) -> Self {
        key.0
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fingerprint_is_one() {
        let good = "SHA256:uNiVztksCsDhcc0u9e8BrVXt6k7zXbnmJsGlxlFLt5g";
        assert_eq!(good.parse::<HostKey>().map(|key| key.to_string()).as_deref(), Ok(good));
        for bad in [
            "",
            "SHA256:",
            "SHA256:uNiVztksCsDhcc0u9e8BrVXt6k7zXbnmJsGlxlFLt5g=",
            "SHA256:uNiVztksCsDhcc0u9e8BrVXt6k7zXbnmJsGlxlFLt5",
            "SHA256:uNiVztksCsDhcc0u9e8BrVXt6k7zXbnmJsGlxlFLt5_",
            "uNiVztksCsDhcc0u9e8BrVXt6k7zXbnmJsGlxlFLt5g",
            "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF",
        ] {
            assert_eq!(bad.parse::<HostKey>(), Err(InvalidHostKey), "{bad}");
        }
    }
}
