//! Releases that can be made live again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    DeploymentId, Digest, HostName, HostSpec, Release, ReleaseId, Replica, Sealed, SidecarImages, Timestamp,
};

/// A release that can be made live again without a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRelease {
    /// Its id.
    pub id: ReleaseId,
    /// All of it.
    pub release: Release,
    /// The image that it was live with.
    pub image: Digest,
    /// How that image was made: an in-toto statement in the artifact store. None where nothing was built, or nobody wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
    /// The images of its sidecars, in the same way.
    #[serde(default, skip_serializing_if = "SidecarImages::is_empty")]
    pub sidecar_images: SidecarImages,
    /// What it was given of the values of the person who deployed it.
    #[serde(default, skip_serializing_if = "Sealed::is_empty")]
    pub sealed: Sealed,
    /// The deployment that made it live last.
    pub deployment: DeploymentId,
    /// When it went live last.
    pub since: Timestamp,
    /// The replicas that it was live on.
    #[serde(default)]
    pub replicas: Option<ReplicaSet>,
    /// The hosts that it was live on. None are known of one that went live before they were written down.
    #[serde(default)]
    pub hosts: Vec<HostSpec>,
    /// Until when these replicas are to be kept running although it isn't live; none: they are not.
    #[serde(default)]
    pub warm_until: Option<Timestamp>,
}

/// The replicas of a release on all hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// The deployment that booted them: their containers carry its id. One that went back to warm replicas has booted none.
    pub booted_by: DeploymentId,
    /// Where they are.
    pub hosts: BTreeMap<HostName, Vec<Replica>>,
}

impl KeptRelease {
    /// All images that it needs, that of the service first.
    pub fn images(&self) -> impl Iterator<Item = &Digest> {
        [&self.image].into_iter().chain(self.sidecar_images.values().map(|built| &built.image))
    }

    /// The deployment whose id the containers carry that it was live on.
    pub fn booted_by(&self) -> &DeploymentId {
        self.replicas.as_ref().map_or(&self.deployment, |replicas| &replicas.booted_by)
    }
}
