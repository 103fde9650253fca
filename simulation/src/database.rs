//! The application's database: what its schema has come to, whose rows were brought over, and the fence of its ledger. It
//! doesn't know the journal.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{DeploymentId, MigrationFile, Release};

use crate::host::Host;

/// A database, and what the releases of the day know of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    /// The highest claim that has changed it.
    pub(crate) fence: u64,
    /// The versions whose new structure is there.
    pub(crate) expanded: BTreeSet<String>,
    /// The versions whose rows are all there in the new structure.
    pub(crate) filled: BTreeSet<String>,
    /// The versions whose old structure is gone.
    pub(crate) contracted: BTreeSet<String>,
    /// All migrations that anybody has written.
    pub(crate) written: Vec<MigrationFile>,
    /// The versions that the release of a deployment knows.
    known: BTreeMap<DeploymentId, BTreeSet<String>>,
}

/// A later claim has been here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stale;

impl Database {
    /// Lets a claim in that is no older than any before it.
    pub(crate) fn admit(&mut self, claim: u64) -> Result<(), Stale> {
        if claim < self.fence {
            return Err(Stale);
        }
        self.fence = claim;
        Ok(())
    }

    /// Notes what the release of a deployment knows.
    pub(crate) fn note(&mut self, deployment: &DeploymentId, release: &Release) {
        let versions = release.migrations.iter().map(|file| file.version.clone()).collect();
        self.known.insert(deployment.clone(), versions);
    }

    /// The contracted migrations that the replicas of a deployment don't know: they fail for want of the old structure.
    pub(crate) fn missed_by(&self, deployment: &DeploymentId) -> Option<&String> {
        let known = self.known.get(deployment)?;
        self.contracted.difference(known).next()
    }

    /// What has the traffic of a host writes past what it doesn't know.
    pub(crate) fn written_by(&mut self, host: &Host) {
        let serving = host.proxy.active.iter().flat_map(|set| &set.targets);
        for target in serving {
            let container = host.containers.iter().find(|container| container.replica == *target);
            let Some(known) = container.and_then(|container| self.known.get(&container.deployment)) else {
                continue;
            };
            self.filled.retain(|version| known.contains(version));
        }
    }
}
