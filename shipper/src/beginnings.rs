//! What is kept of a pull that is interrupted: the layers that the host has whole by then.

use std::convert::Infallible;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use cutover_core::ServiceKey;
use cutover_fleet::Machine;
use cutover_registry::{Image, PullRegistry};
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::future::{join_all, pending};
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::Result;

/// What a layer must have to be worth it, in bytes: a smaller one is sent again sooner than it is kept.
const WORTH_IT: u64 = 8 << 20;
/// From one look at what the host has asked for to the next.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The label of an image that holds layers for a service, with the service's key.
const LABEL: &str = "cutover.beginning";

/// As long as it is polled, has the host's Docker pull the image up to each large layer that it is downloading, too, as an
/// image of its own. Docker forgets the layers of a pull that is interrupted, but not those of images that it has; and
/// what several pulls need at once, it downloads once. What goes wrong here costs nothing but that.
pub(crate) async fn keep(
    docker: &Docker,
    registry: &PullRegistry,
    repository: &str,
    image: &Image,
    key: &ServiceKey,
) -> Infallible {
    let (mut offered, mut pulls) = (0, FuturesUnordered::new());
    loop {
        // Of the whole, there is no need for a beginning.
        let large = |layer: &usize| *layer + 1 < image.layers.len() && image.layers[*layer].size >= WORTH_IT;
        for layer in
            registry.asked().into_iter().filter(large).filter(|layer| *layer >= offered).collect::<Vec<_>>()
        {
            offered = layer + 1;
            match registry.offer_beginning(offered, (LABEL, &value(key))).await {
                Ok(digest) => pulls.push(pull(docker, format!("{repository}@{digest}"))),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a beginning can't be offered")
                }
            }
        }
        let ended = async {
            if pulls.next().await.is_none() {
                pending().await
            }
        };
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = ended => {}
        }
    }
}

async fn pull(docker: &Docker, reference: String) {
    let options = CreateImageOptionsBuilder::default().from_image(&reference).build();
    let pull = docker.create_image(Some(options), None, None);
    if let Err(error) = pull.try_for_each(|_| async { Ok(()) }).await {
        tracing::debug!(reference, %error, "a beginning was not pulled");
    }
}

/// Removes what was kept for the service; the layers that an image needs stay with that. What can't be removed is left for the
/// next time.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(crate) async fn remove(machine: &Machine, key: &ServiceKey) -> Result<()> {
    let docker = machine.docker().await?;
    let label = format!("{LABEL}={}", value(key));
    let filters = [("label", vec![label.as_str()])].into();
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = docker.list_images(Some(options)).await;
    let images = images.map_err(machine.host().docker_failed("listing what was kept of pulls"))?;
    join_all(images.into_iter().map(async |image| {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match docker.remove_image(&image.id, Some(options), None).await {
            Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => {
                tracing::warn!(host = %machine.name(), id = image.id, %error, "what was kept of a pull stays")
            }
        }
    }))
    .await;
    Ok(())
}

fn value(key: &ServiceKey) -> String {
    format!("{}/{}", key.destination, key.service)
}
