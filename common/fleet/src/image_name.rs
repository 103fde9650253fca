//! What an image is called on the hosts.

use std::fmt;

use cutover_core::{Digest, ServiceKey};

/// The name of an image on a host: `cutover/<destination>/<service>:<first 12 digits of its digest>`. The destination is
/// part of it as two of them may share a host, and each prunes only what is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    repository: String,
    tag: String,
}

impl ImageName {
    /// The name of the image with this manifest, or index.
    pub fn new(key: &ServiceKey, digest: &Digest) -> Self {
        Self { repository: Self::repository_of(key), tag: digest.short().to_owned() }
    }

    /// What all images of a service at a destination have before the colon.
    pub fn repository_of(key: &ServiceKey) -> String {
        format!("cutover/{key}")
    }

    /// What stands before the colon: the same for all images of a service at a destination.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What stands after the colon.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_destination_service_and_digest() {
        let key =
            ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() };
        let name = ImageName::new(&key, &Digest::of(b""));
        assert_eq!(name.to_string(), "cutover/production/hello:e3b0c44298fc");
    }
}
