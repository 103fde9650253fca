//! The build stage: from the release's source to an image in the artifact store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cutover_bus::{Assignment, Performer};
use cutover_context::advise;
use cutover_core::{
    BuildContext, BuiltImage, DeploymentId, Digest, Failure, GitSource, HostSpec, Output, Plan, Program,
    Progress, Sidecar, SidecarImages, SidecarName, Source, origin,
};
use cutover_host::{Host, HostAddress, Hosts, SshOptions};
use cutover_secrets::Values;
use cutover_store::Store;
use tokio::sync::mpsc;
use ulid::Ulid;

use crate::collector::owned;
use crate::provenance::Made;
use crate::{
    Build, BuildEvent, Built, DockerHost, Engine, Error, Exported, Fetched, ImageId, Limits, commit,
};

/// Events of a build that may wait to be told before the telling slows down.
const EVENTS: usize = 1024;

/// A time in UTC, to the second.
const RFC_3339: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Does the build stage.
#[derive(Debug)]
pub struct Builder {
    hosts: Hosts,
    /// The one whose Docker Engine builds where a deployment names no other.
    own: Arc<Host>,
    known_hosts: PathBuf,
    store: Store,
}

impl Builder {
    /// A builder that builds with this Docker Engine, or the one that a deployment names, and puts images into `store`. Nothing
    /// is connected before there is something to build.
    ///
    /// # Errors
    /// An environment that doesn't say how hosts are reached.
    pub fn new(docker: &DockerHost, store: Store) -> Result<Self, Error> {
        let options = SshOptions::from_environment()?;
        let known_hosts = options.known_hosts.clone();
        let socket = match docker {
            DockerHost::Socket(socket) => socket.clone(),
            DockerHost::Remote(_) => Hosts::DOCKER_SOCKET.into(),
        };
        let hosts = Hosts::new(options, socket);
        let own = match docker {
            DockerHost::Socket(_) => hosts.local(),
            DockerHost::Remote(host) => hosts.get(&address(host)),
        };
        Ok(Self { hosts, own, known_hosts, store })
    }

    /// The Docker Engine that makes the image of that source.
    async fn engine(&self, source: &Source) -> Result<Engine, Error> {
        let remote = source.recipe().and_then(|recipe| recipe.remote.as_ref());
        let host = remote.map_or_else(|| Arc::clone(&self.own), |host| self.hosts.get(&address(host)));
        Engine::connect(host, self.store.clone(), Limits::default()).await
    }

    /// Builds, and tells what happens in the deployment's output and, step by step, in the journal.
    async fn build(
        engine: &Engine,
        assignment: &Assignment,
        sidecar: Option<&SidecarName>,
        source: &BuildContext,
    ) -> Result<Built, Error> {
        let plan = assignment.plan();
        let labels = labels(plan);
        let part = sidecar.map(|name| format!("/{name}")).unwrap_or_default();
        let name = format!("cutover/{}{part}:{}", plan.key.service, plan.release.id());
        let values = values(plan);
        let build = Build { source, name: &name, labels: &labels, values: &values };
        let (events, mut told) = mpsc::channel(EVENTS);
        let tell = async {
            while let Some(event) = told.recv().await {
                match event {
                    BuildEvent::StepStarted { name } => {
                        assignment.line(&format!("=> {name}")).await;
                        assignment.progress(Progress::Step(name)).await;
                    }
                    BuildEvent::StepFinished { name, cached, seconds } => {
                        let how = if cached { "cached".to_owned() } else { format!("{seconds:.1} s") };
                        assignment.line(&format!("=> {name}: {how}")).await;
                    }
                    BuildEvent::Line { text, .. } => assignment.line(&text).await,
                }
            }
        };
        let run = async move { engine.build(&build, &events).await };
        let (built, ()) = tokio::join!(run, tell);
        built
    }
}

impl Builder {
    /// Builds an image, brings it into the artifact store, and writes down there how it was made.
    async fn make(
        &self,
        engine: &Engine,
        assignment: &Assignment,
        sidecar: Option<&SidecarName>,
        source: &BuildContext,
        git: Option<(&GitSource, &str)>,
    ) -> Result<Product, Error> {
        let began = now();
        let Built { image, bases } = Self::build(engine, assignment, sidecar, source).await?;
        let exported = export(engine, assignment, &image).await?;
        let made = Made {
            plan: assignment.plan(),
            recipe: &source.recipe,
            context: &source.archive,
            git,
            bases: &bases,
            image: &exported.manifest,
            engine: &engine.identity().await?,
            times: [began, now()],
        };
        let statement = serde_json::to_vec(&made.statement()).map_err(Error::Provenance)?;
        let provenance = Some(self.store.put_bytes(&statement).await?);
        let commit = git.map(|(_, commit)| commit.to_owned());
        let built = BuiltImage { image: exported.manifest, provenance };
        Ok(Product { built, bytes: exported.size, commit })
    }

    /// The image of a source, made or taken.
    async fn product(
        &self,
        assignment: &Assignment,
        sidecar: Option<&Sidecar>,
        limit: Duration,
    ) -> Result<Product, Error> {
        let plan = assignment.plan();
        let (source, name) =
            sidecar.map_or((&plan.release.source, None), |sidecar| (&sidecar.source, Some(&sidecar.name)));
        if let Some(name) = name {
            assignment.line(&format!("=> sidecar {name}")).await;
        }
        let engine = self.engine(source).await?;
        match source {
            Source::Context(source) => self.make(&engine, assignment, name, source, None).await,
            Source::Git(source) => {
                let has_user = match sidecar {
                    Some(sidecar) => sidecar.container.user.is_some(),
                    None => plan.release.settings.container.user.is_some(),
                };
                let Fetched { context, commit, .. } = self.fetch(assignment, source, has_user, limit).await?;
                self.make(&engine, assignment, name, &context, Some((source, commit.as_str()))).await
            }
            Source::Image(reference) => take(&engine, assignment, &engine.existing(reference).await?).await,
            Source::Private(source) => {
                take(&engine, assignment, &engine.existing_private(source, &values(plan)).await?).await
            }
        }
    }

    /// The images that the plan doesn't know: that of the service, and those of its sidecars.
    async fn products(&self, assignment: &Assignment, limit: Duration) -> Result<Output, Error> {
        let plan = assignment.plan();
        owned(&self.store, &assignment.epoch.journal).await?;
        let own = match &plan.image {
            Some(image) => Product::known(image),
            None => self.product(assignment, None, limit).await?,
        };
        let (mut bytes, mut sidecars) = (own.bytes, SidecarImages::new());
        for sidecar in &plan.release.settings.sidecars {
            if !plan.sidecar_images.contains_key(&sidecar.name) {
                let product = self.product(assignment, Some(sidecar), limit).await?;
                bytes += product.bytes;
                sidecars.insert(sidecar.name.clone(), product.built);
            }
        }
        let BuiltImage { image, provenance } = own.built;
        Ok(Output::Built { image, bytes, commit: own.commit, provenance, sidecars })
    }

    /// Gets the commit that is built, and says which it is, and what had better be otherwise in its Dockerfile.
    async fn fetch(
        &self,
        assignment: &Assignment,
        source: &GitSource,
        has_user: bool,
        limit: Duration,
    ) -> Result<Fetched, Error> {
        assignment.progress(Progress::Step(format!("{} of {}", source.reference, source.url))).await;
        let fetched =
            commit::fetch(source, &values(assignment.plan()), &self.store, &self.known_hosts, limit).await?;
        assignment.line(&format!("=> commit {} of {}", fetched.commit, source.url)).await;
        for advice in advise(&fetched.dockerfile, &source.recipe, has_user) {
            assignment.line(&format!("warning: {}, {advice}", source.recipe.dockerfile)).await;
        }
        Ok(fetched)
    }
}

impl Performer for Builder {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        let plan = assignment.plan();
        let limit = plan.release.settings.timeouts.build.0;
        match tokio::time::timeout(limit, Box::pin(self.products(assignment, limit))).await {
            Ok(Ok(built)) => Ok(built),
            Ok(Err(error)) => Err(failure(&error, &plan.deployment)),
            Err(_) => Err(Failure::lasting(format!("the build took longer than {} s", limit.as_secs()))
                .hint("raise timeouts.build in the deploy file if it needs longer")),
        }
    }
}

/// What the references of a plan stand for here.
fn values(plan: &Plan) -> Values {
    Values::of(plan, Program::Builder)
}

/// An image in the artifact store.
struct Product {
    built: BuiltImage,
    /// Of all its layers.
    bytes: u64,
    /// What it was built of, where the builder got that from a repository.
    commit: Option<String>,
}

impl Product {
    /// One that is there already.
    fn known(image: &Digest) -> Self {
        Self { built: BuiltImage { image: image.clone(), provenance: None }, bytes: 0, commit: None }
    }
}

/// Takes an image that was there before.
async fn take(engine: &Engine, assignment: &Assignment, image: &ImageId) -> Result<Product, Error> {
    let exported = export(engine, assignment, image).await?;
    let built = BuiltImage { image: exported.manifest, provenance: None };
    Ok(Product { built, bytes: exported.size, commit: None })
}

async fn export(engine: &Engine, assignment: &Assignment, image: &ImageId) -> Result<Exported, Error> {
    assignment.progress(Progress::Step("into the artifact store".to_owned())).await;
    engine.export(image, assignment.key().service.as_str()).await
}

/// The time, as in RFC 3339.
fn now() -> String {
    jiff::Timestamp::now().strftime(RFC_3339).to_string()
}

/// How a host is reached.
fn address(host: &HostSpec) -> HostAddress {
    HostAddress::new(host.user.as_str(), host.name.as_str(), host.port)
}

/// The labels of the image: what it is, in the words of the OCI image specification, and whose it is. Where it comes from is
/// known to whoever packed the context, and stands in the recipe.
fn labels(plan: &Plan) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (origin::VERSION.to_owned(), plan.release.version.clone()),
        ("cutover.service".to_owned(), plan.key.service.to_string()),
        ("cutover.release".to_owned(), plan.release.id().to_string()),
    ]);
    labels.extend(created(&plan.deployment).map(|at| (origin::CREATED.to_owned(), at)));
    labels
}

/// When the deployment was asked for, as its id says it: a build that is repeated makes the same image.
fn created(deployment: &DeploymentId) -> Option<String> {
    let id: Ulid = deployment.as_str().to_uppercase().parse().ok()?;
    let at = jiff::Timestamp::from_millisecond(i64::try_from(id.timestamp_ms()).ok()?).ok()?;
    Some(at.strftime(RFC_3339).to_string())
}

/// The error, what to do about it, and what the failing step said last.
fn failure(error: &Error, deployment: &DeploymentId) -> Failure {
    let failure = Failure::of(error, error.retryable());
    match error {
        Error::Build { reason, .. } if reason.starts_with("secret ") && reason.contains("not found") => {
            failure.hint("say where its value is in `builder.secrets` of the deploy file")
        }
        Error::Build { output, .. } => failure
            .tail(output.clone())
            .hint(format!("the whole output: `cutover logs --deployment {}`", deployment.short())),
        Error::Context(context) => match context.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        },
        Error::Host(cutover_host::Error::NoDocker { .. }) => {
            failure.hint("start Docker on the machine that builds, or name another: `builder.remote`, or DOCKER_HOST of the builder")
        }
        Error::NoSuchImage { .. } => failure.hint("check `image:` in the deploy file"),
        _ => failure,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_as_old_as_the_deployment() {
        // 2016-07-30T23:54:10.259Z, from the specification of ULIDs.
        let id = "01arz3ndektsv4rrffq69g5fav".parse().unwrap();
        assert_eq!(created(&id).as_deref(), Some("2016-07-30T23:54:10Z"));
    }
}
