//! What an operator lets a program read from stores of secrets. Whoever may deploy writes the references; without a list he
//! could read whatever the program can.

use std::str::FromStr;

use cutover_core::Reference;

/// The variable that holds the list.
pub(crate) const VARIABLE: &str = "CUTOVER_SECRETS_ALLOW";

/// The references that are allowed: none, unless a pattern says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance(Vec<Pattern>);

/// A secret, or, with `*` at its end, all whose address begins so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    address: String,
    is_prefix: bool,
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no pattern: vault://mount/path or aws-sm://name, with a * at its end for all that begin so, and neither a version nor a key"
)]
pub struct InvalidPattern(String);

impl Allowance {
    /// Whether a pattern fits the address of a reference: in any version, any region that it names, and with any key.
    pub(crate) fn allows(&self, reference: &Reference) -> bool {
        let address = match reference {
            Reference::Environment(_) | Reference::File(_) | Reference::Command(_) => return true,
            Reference::Vault(secret) => format!("vault://{}", secret.path),
            Reference::Aws(secret) => format!("aws-sm://{}", secret.name),
        };
        self.0.iter().any(
            |Pattern { address: allowed, is_prefix }| {
                if *is_prefix { address.starts_with(allowed) } else { address == *allowed }
            },
        )
    }

    /// Whether anything of Vault may be allowed.
    pub(crate) fn has_vault(&self) -> bool {
        self.0.iter().any(|pattern| pattern.address.starts_with("vault://"))
    }
}

impl FromStr for Allowance {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
        patterns.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let (address, is_prefix) = text.strip_suffix('*').map_or((text, false), |address| (address, true));
        let is_known = ["vault://", "aws-sm://"].iter().any(|scheme| address.starts_with(scheme));
        if !is_known || address.contains(['*', '?', '#', '%']) {
            return Err(InvalidPattern(text.to_owned()));
        }
        Ok(Self { address: address.to_owned(), is_prefix })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn allows(list: &str, reference: &str) -> bool {
        list.parse::<Allowance>().unwrap().allows(&reference.parse().unwrap())
    }

    #[test]
    fn nothing_of_a_store_is_allowed_that_no_pattern_fits() {
        let list = "vault://kv/shop/*, aws-sm://prod/shop,";
        for allowed in [
            "env://HOME",
            "file:///etc/hostname",
            "vault://kv/shop/db#password",
            "vault://kv/shop/db/main?version=2#password",
            "aws-sm://prod/shop?region=eu-west-1#password",
        ] {
            assert!(allows(list, allowed), "{allowed}");
        }
        for refused in [
            "vault://kv/shop#password",
            "vault://kv/shopping/db#password",
            "vault://kv2/shop/db#password",
            "aws-sm://prod/shop2",
            "aws-sm://arn:aws:secretsmanager:eu-west-1:1:secret:prod/shop",
        ] {
            assert!(!allows(list, refused), "{refused}");
            assert!(!allows("", refused), "{refused}");
        }
        assert!(allows("vault://*", "vault://kv/shop#password"));
        assert!(!allows("vault://*", "aws-sm://shop"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["*", "vault:/kv", "env://HOME", "vault://kv/*/db", "vault://kv/db#key", "aws-sm://a?x=y"]
        {
            assert!(text.parse::<Allowance>().is_err(), "{text}");
        }
    }
}
