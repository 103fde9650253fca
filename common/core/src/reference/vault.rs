//! A field of a secret in the key-value store of Vault or OpenBao.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::flaw::{Flaw, Parts, check};

/// `vault://mount/path?version=N#key`, without the scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultSecret {
    /// The mount and the path in it, as `vault kv get` takes them: without the `data/` of version 2's API. Where the mount ends,
    /// the server knows.
    pub path: String,
    /// The version; none: the newest.
    pub version: Option<NonZeroU32>,
    /// The field.
    pub key: String,
}

impl FromStr for VaultSecret {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Self, Flaw> {
        let Parts { name, settings, key } = Parts::of(text)?;
        if !name.contains('/') {
            return Err(Flaw::NoPath);
        }
        check(name, |c| c.is_ascii_alphanumeric() || "/-_.~@+=:,".contains(c))?;
        if let Some(part) = name.split('/').find(|part| matches!(*part, "" | "." | "..")) {
            return Err(Flaw::Part(part.to_owned()));
        }
        let mut version = None;
        for (setting, value) in settings {
            let "version" = setting else { return Err(Flaw::Setting(setting.to_owned())) };
            let number =
                value.parse().map_err(|_| Flaw::Value { setting: "version", value: value.to_owned() });
            version = Some(number?);
        }
        let key = key.ok_or(Flaw::NoKey)?.to_owned();
        Ok(Self { path: name.to_owned(), version, key })
    }
}

impl fmt::Display for VaultSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(version) = self.version {
            write!(f, "?version={version}")?;
        }
        write!(f, "#{}", self.key)
    }
}
