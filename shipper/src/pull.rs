//! The host's Docker pulls an image that is in the artifact store here, through the SSH connection.

use std::convert::Infallible;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use cutover_core::{Progress, ServiceKey};
use cutover_fleet::{ImageName, Machine};
use cutover_host::RemoteListener;
use cutover_registry::{Image, PullRegistry};
use futures_util::TryStreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use ulid::Ulid;

use crate::downloads::Downloads;
use crate::temporary_name::TemporaryName;
use crate::{Error, Origin, Result, beginnings};

/// From one look at what has been sent to the next.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// What the kernel says when a disk is full (`ENOSPC`), somewhere in Docker's words.
const NO_SPACE: &str = "no space left on device";

/// Has the host's Docker pull `image`, and gives it its name there. Answers with the bytes that were sent.
///
/// During the pull, a port of the host's own 127.0.0.1 leads to the image. The repository's name can't be guessed, which
/// keeps other users of the host out.
pub(crate) async fn pull(
    machine: &Machine,
    Origin { store, pace, .. }: &Origin,
    image: &Image,
    (key, name): (&ServiceKey, &ImageName),
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let docker = machine.docker().await?;
    let mut listener = machine.host().listen().await?;
    let repository = format!("{}-{}", name.repository(), Ulid::generate().to_string().to_lowercase());
    let registry = PullRegistry::new(store.clone(), &repository, image.clone(), pace.clone());
    let local = format!("127.0.0.1:{}/{repository}", listener.port());
    let names = Names { pulled: format!("{local}@{}", image.digest), own: name };
    let pulled = tokio::select! {
        ended = fetch(machine, image, names, None, None) => ended?.name,
        lost = serve(&mut listener, &registry) => return Err(lost.into()),
        never = report(&registry, progress) => match never {},
        never = beginnings::keep(&docker, &registry, &local, image, key) => match never {},
    };
    let ((), removed) = tokio::join!(pulled.remove(), beginnings::remove(machine, key));
    if let Err(error) = removed {
        tracing::warn!(error = &error as &dyn std::error::Error, "what was kept of pulls stays");
    }
    Ok(registry.traffic().sent)
}

/// What an image is called on a host.
pub(crate) struct Names<'a> {
    /// The name that it is pulled by, which it has for the time of the pull.
    pub(crate) pulled: String,
    /// The one that it keeps.
    pub(crate) own: &'a ImageName,
}

/// What came of a pull.
pub(crate) struct Fetched {
    /// The bytes that the host has downloaded.
    pub(crate) bytes: u64,
    /// The name that the image was pulled by.
    pub(crate) name: TemporaryName,
}

/// Has the host's Docker pull the image, and gives it its name there. Says on the way what has been downloaded, if it is to.
pub(crate) async fn fetch(
    machine: &Machine,
    image: &Image,
    Names { pulled, own }: Names<'_>,
    credentials: Option<DockerCredentials>,
    progress: Option<&watch::Sender<Progress>>,
) -> Result<Fetched> {
    let docker = machine.docker().await?;
    let pulled = TemporaryName::new(&docker, pulled);
    let options = CreateImageOptionsBuilder::default().from_image(pulled.as_str()).build();
    let mut pull = docker.create_image(Some(options), None, credentials);
    let mut downloads = Downloads::of(image);
    while let Some(said) = pull.try_next().await.map_err(|error| why(error, machine, image))? {
        downloads.take_in(&said);
        if let Some(progress) = progress {
            progress.send_replace(downloads.progress());
        }
    }
    let options = TagImageOptionsBuilder::default().repo(own.repository()).tag(own.tag()).build();
    let named = docker.tag_image(pulled.as_str(), Some(options)).await;
    named.map_err(machine.host().docker_failed(format!("naming {own}")))?;
    Ok(Fetched { bytes: downloads.done(), name: pulled })
}

/// Docker tells the reason of a failed pull in words only.
fn why(error: bollard::errors::Error, machine: &Machine, image: &Image) -> Error {
    let (image, host) = (image.digest.clone(), machine.name().clone());
    let reason = error.to_string();
    match error {
        _ if reason.contains(NO_SPACE) => Error::NoSpace { image, host, reason, freeable: String::new() },
        bollard::errors::Error::DockerStreamError { error: reason } => Error::Pull { image, host, reason },
        error => machine.host().docker_failed(format!("pulling image {image}"))(error).into(),
    }
}

/// Serves the image until the connection to the host is lost or the caller has enough; then every stream ends.
async fn serve(listener: &mut RemoteListener, registry: &PullRegistry) -> cutover_host::Error {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    let registry = registry.clone();
                    streams.spawn(async move { registry.serve_connection(stream).await });
                }
                Err(lost) => return lost,
            },
            Some(ended) = streams.join_next() => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a pull connection broke");
                }
            }
        }
    }
}

/// Says how much has been sent, of what the host has asked for so far.
async fn report(registry: &PullRegistry, progress: &watch::Sender<Progress>) -> Infallible {
    loop {
        sleep(REPORT_EVERY).await;
        let traffic = registry.traffic();
        progress.send_replace(Progress::Bytes {
            done: traffic.sent.min(traffic.promised),
            total: traffic.promised,
        });
    }
}
