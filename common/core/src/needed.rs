//! What a service needs of the artifact store.

use std::collections::BTreeSet;

use crate::{BuiltImage, Deployment, Digest, Release, Service, SidecarImages, Source};

/// What the journal names of the artifact store. Nothing else in it is needed, but what is on its way into the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// The manifests, or the indexes, of images: with all that they name themselves.
    pub images: BTreeSet<Digest>,
    /// The manifests of models: with all chunks that they name.
    pub models: BTreeSet<Digest>,
    /// Build contexts, migrations, and what says how images were made.
    pub files: BTreeSet<Digest>,
}

impl Needed {
    /// Adds what a service needs.
    ///
    /// A kept release can be made live again: it needs its image, its models and, as a rollback looks at them again, its migrations, but no
    /// build. A deployment that runs, ran last or still owes something may build, or be replayed, and needs all that it was made
    /// of beside what it has made.
    pub fn add(&mut self, service: &Service) {
        for kept in &service.kept {
            self.images.insert(kept.image.clone());
            self.files.extend(kept.provenance.clone());
            self.add_sidecars(&kept.sidecar_images);
            self.add_files(&kept.release);
        }
        for deployment in service.current.iter().chain(&service.owing) {
            self.add_deployment(deployment);
        }
    }

    fn add_deployment(&mut self, deployment: &Deployment) {
        let release = &deployment.plan.release;
        self.images.extend(deployment.plan.image.iter().chain(deployment.image()).cloned());
        self.files.extend(deployment.provenance().cloned());
        self.add_sidecars(&deployment.sidecar_images());
        self.add_files(release);
        let sidecars = release.settings.sidecars.iter().map(|sidecar| &sidecar.source);
        for source in sidecars.chain([&release.source]) {
            if let Source::Context(context) = source {
                self.files.insert(context.archive.clone());
            }
        }
    }

    fn add_sidecars(&mut self, images: &SidecarImages) {
        for BuiltImage { image, provenance } in images.values() {
            self.images.insert(image.clone());
            self.files.extend(provenance.clone());
        }
    }

    fn add_files(&mut self, release: &Release) {
        self.models.extend(release.settings.models.iter().map(|model| model.version.clone()));
        self.files.extend(release.migrations.iter().map(|file| file.content.clone()));
    }
}
