//! A repository of a registry, through which images get to the hosts.

use serde::{Deserialize, Serialize};

use crate::{Digest, RegistryLogin};

/// A repository of a registry, through which images get to the hosts: whoever ships puts them there, once, and the hosts pull
/// them. Both enter it in the same way; the shipper reads the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The registry, and how it is entered.
    #[serde(flatten)]
    pub registry: RegistryLogin,
    /// The repository's name there, as in `acme/hello`.
    pub repository: String,
}

impl Repository {
    /// What Docker calls the repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry.server, self.repository)
    }

    /// What Docker calls an image in it that has this manifest, or index.
    pub fn image(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_its_registry_its_repository_and_its_digest() {
        let text = r#"{"server":"localhost:5000","username":"anna","password":"env://PASSWORD","repository":"acme/hello"}"#;
        let repository: Repository = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&repository).unwrap(), text);
        let digest = Digest::of(b"");
        assert_eq!(repository.image(&digest), format!("localhost:5000/acme/hello@{digest}"));
    }
}
