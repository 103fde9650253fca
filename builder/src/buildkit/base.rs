//! The images that a build starts from, as BuildKit names its steps.

use cutover_core::Digest;

/// An image that a build has started from: a base of one of its stages, or the frontend that `# syntax=` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// Its whole name, without the digest: `docker.io/library/debian:bookworm-slim`.
    pub name: String,
    /// The digest of its manifest or index, where BuildKit says it: not of an image that the Docker Engine had already.
    pub digest: Option<Digest>,
}

impl Base {
    /// The image that a step begins with: `[build 1/3] FROM docker.io/library/debian:12@sha256:…`.
    pub(super) fn of_step(name: &str) -> Option<Self> {
        let base = name.strip_prefix('[').and_then(|rest| rest.split_once("] FROM "));
        let image = base.map(|(_, image)| image).or_else(|| name.strip_prefix("docker-image://"))?;
        let (name, digest) =
            image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
        Some(Self { name: name.to_owned(), digest: digest.and_then(|digest| digest.parse().ok()) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_known_by_its_step() {
        let digest = Digest::of(b"index");
        let with_digest = format!("docker.io/library/debian:12@{digest}");
        for (step, known) in [
            (format!("[1/3] FROM {with_digest}"), true),
            (format!("[linux/arm64 build 1/3] FROM {with_digest}"), true),
            (format!("docker-image://{with_digest}"), true),
            ("[1/3] FROM docker.io/library/debian:12".to_owned(), false),
        ] {
            let base = Base {
                name: "docker.io/library/debian:12".to_owned(),
                digest: known.then(|| digest.clone()),
            };
            assert_eq!(Base::of_step(&step), Some(base), "{step}");
        }
        for step in [
            "[2/3] RUN echo FROM x",
            "[internal] load metadata for docker.io/library/debian:12",
            "exporting to image",
        ] {
            assert_eq!(Base::of_step(step), None, "{step}");
        }
    }
}
