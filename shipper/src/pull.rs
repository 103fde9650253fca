//! The host's Docker pulls an image that is in the artifact store here, through the SSH connection.

use std::convert::Infallible;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use cutover_core::{Progress, ServiceKey};
use cutover_fleet::Machine;
use cutover_host::RemoteListener;
use cutover_registry::{Image, Pace, PullRegistry};
use cutover_store::Store;
use futures_util::TryStreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use ulid::Ulid;

use crate::temporary_name::TemporaryName;
use crate::{Error, ImageName, Result, beginnings};

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
    (store, pace): (&Store, &Pace),
    image: &Image,
    (key, name): (&ServiceKey, &ImageName),
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let docker = machine.docker().await?;
    let mut listener = machine.host().listen().await?;
    let repository = format!("{}-{}", name.repository(), Ulid::generate().to_string().to_lowercase());
    let registry = PullRegistry::new(store.clone(), &repository, image.clone(), pace.clone());
    let local = format!("127.0.0.1:{}/{repository}", listener.port());
    let pulled = TemporaryName::new(&docker, format!("{local}@{}", image.digest));
    tokio::select! {
        ended = fetch(machine, &docker, pulled.as_str(), image) => ended?,
        lost = serve(&mut listener, &registry) => return Err(lost.into()),
        never = report(&registry, progress) => match never {},
        never = beginnings::keep(&docker, &registry, &local, image, key) => match never {},
    }
    let options = TagImageOptionsBuilder::default().repo(name.repository()).tag(name.tag()).build();
    let named = docker.tag_image(pulled.as_str(), Some(options)).await;
    named.map_err(machine.host().docker_failed(format!("naming {name}")))?;
    let ((), removed) = tokio::join!(pulled.remove(), beginnings::remove(machine, key));
    if let Err(error) = removed {
        tracing::warn!(error = &error as &dyn std::error::Error, "what was kept of pulls stays");
    }
    Ok(registry.traffic().sent)
}

async fn fetch(machine: &Machine, docker: &Docker, reference: &str, image: &Image) -> Result<()> {
    let options = CreateImageOptionsBuilder::default().from_image(reference).build();
    let pull = docker.create_image(Some(options), None, None);
    let ended = pull.try_for_each(|_| async { Ok(()) }).await;
    ended.map_err(|error| why(error, machine, image))
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
