//! A model: files beside the image, with versions of their own.

use serde::{Deserialize, Serialize};

use crate::{Digest, ModelName};

/// A model as a release pins it.
///
/// Where it was found is no part of it: the artifact store has it, and a version is its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name, by which the versions of one model are known on a host.
    pub name: ModelName,
    /// Its version: the digest of its manifest in the artifact store.
    pub version: Digest,
    /// The folder in which the replicas of all roles find its files, and can't change them.
    pub mount: String,
    /// What its source looked like when the version was found there: another release of the same needn't read it again. None
    /// where only reading tells. The release's id leaves it out: the same content is the same release, wherever it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Digest>,
}
