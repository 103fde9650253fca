//! Builds by BuildKit, which runs inside the Docker Engine and speaks gRPC through two of its end points: `/grpc` takes
//! the build and tells how it goes, `/session` lets BuildKit ask back: for the context, and for what the build is given.
//!
//! The API's own `POST /build` is no way to do this: with BuildKit it takes no uploaded context on the containerd image
//! store (moby/moby#47717).

mod base;
mod event;
mod grants;
mod logins;
mod progress;
mod secrets;
mod session;
mod ssh;
mod upgrade;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    CacheOptions, CacheOptionsEntry, SolveRequest, StatusRequest,
};
use cutover_core::{BuildContext, Recipe};
use cutover_secrets::Values;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use ulid::Ulid;

use crate::{Engine, Error, ImageId, Result};
pub use base::Base;
pub use event::BuildEvent;
use grants::Grants;
pub(crate) use grants::password;
use progress::Progress;
use session::Session;

/// The largest gRPC message that BuildKit sends, in bytes (its `DefaultMaxRecvMsgSize`).
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How long the last events may take to arrive once a build has ended.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// A build: what of, and what the image is called.
#[derive(Debug, Clone)]
pub struct Build<'a> {
    /// The context in the artifact store, and what to make of it.
    pub source: &'a BuildContext,
    /// The name, `repository:tag`, under which the Docker Engine keeps the image.
    pub name: &'a str,
    /// Labels that are added to those of the Dockerfile and of the recipe.
    pub labels: &'a BTreeMap<String, String>,
    /// What its references stand for.
    pub values: &'a Values,
}

/// What a build has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image.
    pub image: ImageId,
    /// The images that it was built on, each once.
    pub bases: Vec<Base>,
}

impl Engine {
    /// Builds an image and answers which it is. What happens is told to `events` as it happens; nobody has to listen, but
    /// who listens slowly slows the telling down, and not the build. An error holds the step that failed and its last
    /// lines; `events` had all of them, up to BuildKit's own limit of 2 MiB a step (1 MiB before Docker 23).
    ///
    /// Dropping the future stops the build.
    pub async fn build(&self, build: &Build<'_>, events: &mpsc::Sender<BuildEvent>) -> Result<Built> {
        // An absent context is an error of the store, not one that BuildKit has to put into words.
        self.store.get(&build.source.archive).await?;
        let grants = Arc::new(Grants::of(&build.source.recipe, build.values).await?);
        let limit = self.limits.build;
        let solved = timeout(limit, Box::pin(self.solve(build, grants, events))).await;
        let bases = solved.map_err(|_| Error::TimedOut { action: "build the image", limit })??;
        Ok(Built { image: self.id_of(build.name).await?, bases })
    }

    async fn solve(
        &self,
        build: &Build<'_>,
        grants: Arc<Grants>,
        events: &mpsc::Sender<BuildEvent>,
    ) -> Result<Vec<Base>> {
        let session = Session::new(self.store.clone(), build.source.archive.clone(), Arc::clone(&grants));
        let reference = Ulid::generate().to_string().to_lowercase();
        let request = request(build, &session, &reference);
        let control = self.control().await?;
        let mut progress = Progress::new(grants);

        let solved = {
            let (ended, end) = oneshot::channel();
            let solve = async {
                let solved = control.clone().solve(request).await;
                ended.send(()).ok();
                solved
            };
            let follow = async {
                tokio::select! {
                    () = follow(control.clone(), reference, &mut progress, events) => {}
                    () = async { end.await.ok(); sleep(LAST_EVENTS).await } => {}
                }
            };
            tokio::select! {
                (solved, ()) = async { tokio::join!(solve, follow) } => solved,
                broken = session.serve(&self.host) => return Err(broken),
            }
        };
        for event in progress.finish() {
            events.send(event).await.ok();
        }
        match solved {
            Ok(_) => Ok(progress.bases()),
            Err(status) => Err(failure(status, progress)),
        }
    }

    /// A connection to BuildKit's control service. Both of its users, the build and its progress, share it.
    async fn control(&self) -> Result<ControlClient<Channel>> {
        let stream = upgrade::upgrade(&self.host, "/grpc", []).await?;
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
            async { stream }
        });
        let channel = Endpoint::from_static("http://buildkit").connect_with_connector(connector).await;
        let channel = channel.map_err(|source| Error::Interrupted { source: source.into() })?;
        Ok(ControlClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
    }
}

/// What BuildKit is asked: the Dockerfile frontend, and the result into the Docker Engine's image store. The fields in
/// use are those that the BuildKit of Docker 20.10 knows, and later ones still read.
fn request(build: &Build<'_>, session: &Session, reference: &str) -> SolveRequest {
    // Named one by one: what is added to a recipe must not be left out here.
    let Recipe {
        dockerfile,
        target,
        args,
        labels,
        secrets: _,
        ssh: _,
        platform,
        cache_from,
        inline_cache,
        no_cache,
        registry: _,
        remote: _,
    } = &*build.source.recipe;
    let mut frontend = HashMap::from([
        ("context".to_owned(), session.context_url()),
        ("filename".to_owned(), dockerfile.clone()),
        // A base image that is here is used; one that isn't is pulled.
        ("image-resolve-mode".to_owned(), "default".to_owned()),
    ]);
    frontend.extend(target.iter().map(|target| ("target".to_owned(), target.clone())));
    frontend.extend(platform.iter().map(|platform| ("platform".to_owned(), platform.clone())));
    frontend.extend(args.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone())));
    let labels = labels.iter().chain(build.labels);
    frontend.extend(labels.map(|(name, value)| (format!("label:{name}"), value.clone())));
    if !cache_from.is_empty() {
        frontend.insert("cache-from".to_owned(), cache_from.join(","));
    }
    // Without a value: of no stage (`docker build --no-cache`).
    frontend.extend(no_cache.then(|| ("no-cache".to_owned(), String::new())));
    let inline =
        inline_cache.then(|| CacheOptionsEntry { r#type: "inline".to_owned(), attrs: HashMap::new() });
    SolveRequest {
        r#ref: reference.to_owned(),
        session: session.id().to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: frontend,
        exporter_deprecated: "moby".to_owned(),
        exporter_attrs_deprecated: HashMap::from([("name".to_owned(), build.name.to_owned())]),
        cache: Some(CacheOptions { exports: inline.into_iter().collect(), ..CacheOptions::default() }),
        ..SolveRequest::default()
    }
}

/// Tells how a build goes until BuildKit has told all. BuildKit waits some seconds for a build that it doesn't know yet.
async fn follow(
    mut control: ControlClient<Channel>,
    reference: String,
    progress: &mut Progress,
    events: &mpsc::Sender<BuildEvent>,
) {
    let mut updates = match control.status(StatusRequest { r#ref: reference }).await {
        Ok(updates) => updates.into_inner(),
        Err(status) => return tracing::debug!(%status, "BuildKit tells no progress"),
    };
    loop {
        match updates.message().await {
            Ok(Some(update)) => {
                for event in progress.take(update) {
                    events.send(event).await.ok();
                }
            }
            Ok(None) => return,
            Err(status) => return tracing::debug!(%status, "BuildKit broke off telling the progress"),
        }
    }
}

/// A status with a cause of its own was made on this side: the connection broke. Otherwise BuildKit has spoken.
fn failure(status: Status, progress: Progress) -> Error {
    if std::error::Error::source(&status).is_some() || status.code() == Code::Unavailable {
        return Error::Interrupted { source: status.into() };
    }
    match progress.into_failed() {
        Some((step, reason, output)) => Error::Build { step: Some(step), reason, output },
        None => Error::Build { step: None, reason: status.message().to_owned(), output: Vec::new() },
    }
}
