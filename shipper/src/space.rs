//! Is there space for an image on the disk of a host?

use std::collections::HashSet;

use bollard::models::ImageSummary;
use bollard::query_parameters::ListImagesOptionsBuilder;
use cutover_core::{Bytes, ServiceKey};
use cutover_fleet::{Disk, ImageName, Machine};
use cutover_registry::{Descriptor, Image};
use cutover_store::Store;

use crate::{Error, Result};

/// What must be left on the disk: for what runs there, and for its logs.
const RESERVE: u64 = 256 << 20;

/// Refuses an image that doesn't fit on the disk of a host as the host would have to take it, if it lacked all of it. Where
/// it has some of its layers already, that is looked at before it is refused.
///
/// # Errors
/// [`Error::NoRoom`], with what takes space that could be freed; a host or a Docker that can't be reached.
pub(crate) async fn check(machine: &Machine, store: &Store, key: &ServiceKey, image: &Image) -> Result<()> {
    let Some(disk) = machine.disk().await? else { return Ok(()) };
    if needed(&image.layers).saturating_add(RESERVE) <= disk.free {
        return Ok(());
    }
    let diff_ids = image.diff_ids(store).await.map_err(|source| Error::Image {
        image: image.digest.clone(),
        host: machine.name().clone(),
        source: Box::new(source),
    })?;
    let there = present(machine, &diff_ids).await?;
    let needed = needed(image.layers.get(there..).unwrap_or_default()).saturating_add(RESERVE);
    if there == image.layers.len() || needed <= disk.free {
        return Ok(());
    }
    let Disk { folder, free } = disk;
    Err(Error::NoRoom {
        image: image.digest.clone(),
        host: machine.name().clone(),
        folder,
        free,
        needed,
        freeable: freeable(machine, key).await?,
    })
}

/// The bytes that Docker needs for layers at least: it keeps what it has received until it is unpacked. What is compressed needs
/// more, but nobody knows how much: that it was too much is told when it happens.
fn needed(layers: &[Descriptor]) -> u64 {
    layers.iter().map(|layer| layer.size.saturating_mul(2)).fold(0, u64::saturating_add)
}

/// How many of the layers, from the lowest, any image on the host has. Docker's own image store shares them from the lowest on
/// and no others.
async fn present(machine: &Machine, diff_ids: &[String]) -> Result<usize> {
    let docker = machine.docker().await?;
    let ids: HashSet<String> = images(machine).await?.into_iter().map(|image| image.id).collect();
    let mut most = 0;
    for id in ids {
        // One that is gone meanwhile has nothing to share any more.
        let Ok(image) = docker.inspect_image(&id).await else { continue };
        let layers = image.root_fs.and_then(|files| files.layers).unwrap_or_default();
        most = most.max(layers.iter().zip(diff_ids).take_while(|(there, wanted)| there == wanted).count());
    }
    Ok(most)
}

/// What takes space on a host and may not be needed, in a sentence; empty: nothing that is known.
pub(crate) async fn freeable(machine: &Machine, key: &ServiceKey) -> Result<String> {
    Ok(told(&images(machine).await?, key))
}

async fn images(machine: &Machine) -> Result<Vec<ImageSummary>> {
    let options = ListImagesOptionsBuilder::default().build();
    let images = machine.docker().await?.list_images(Some(options)).await;
    Ok(images.map_err(machine.host().docker_failed("listing images"))?)
}

fn told(images: &[ImageSummary], key: &ServiceKey) -> String {
    let size = |images: &[&ImageSummary]| {
        let own = |image: &&ImageSummary| image.size.saturating_sub(image.shared_size.max(0));
        Bytes(images.iter().map(own).filter_map(|size| u64::try_from(size).ok()).sum())
    };
    let is_nameless = |image: &&ImageSummary| image.repo_tags.iter().all(|name| name == "<none>:<none>");
    let nameless: Vec<&ImageSummary> = images.iter().filter(is_nameless).collect();
    let repository = ImageName::repository_of(key);
    let is_ours = |name: &String| name.strip_prefix(&repository).is_some_and(|rest| rest.starts_with(':'));
    let ours: Vec<&ImageSummary> =
        images.iter().filter(|image| image.repo_tags.iter().any(is_ours)).collect();
    let mut sentences = Vec::new();
    if !nameless.is_empty() {
        let size = size(&nameless);
        sentences.push(format!("`docker image prune` frees up to {size} of images without a name"));
    }
    if ours.len() > 1 {
        let (count, size) = (ours.len(), size(&ours));
        sentences.push(format!("{count} images of {key} take up to {size}: keep fewer releases (`retain:`)"));
    }
    sentences.join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Digest;

    use super::*;

    fn layer(media_type: &str, size: u64) -> Descriptor {
        Descriptor { media_type: media_type.to_owned(), digest: Digest::of(b""), size, platform: None }
    }

    #[test]
    fn a_layer_is_there_twice_for_a_moment() {
        let plain = layer("application/vnd.oci.image.layer.v1.tar", 100);
        let packed = layer("application/vnd.oci.image.layer.v1.tar+gzip", 100);
        let docker = layer("application/vnd.docker.image.rootfs.diff.tar.gzip", 100);
        assert_eq!(needed(&[plain]), 200);
        assert_eq!(needed(&[packed, docker]), 400);
    }

    #[test]
    fn what_could_be_freed_is_named_with_its_size() {
        let key = crate::fixture::key();
        let image = |names: &[&str], size| ImageSummary {
            repo_tags: names.iter().map(ToString::to_string).collect(),
            size,
            shared_size: -1,
            ..ImageSummary::default()
        };
        let there = [
            image(&["cutover/production/hello:0123456789ab"], 300_000_000),
            image(&["cutover/production/hello:ba9876543210"], 400_000_000),
            image(&["cutover/production/hello-worker:0123456789ab"], 1_000_000_000),
            image(&["<none>:<none>"], 50_000_000),
            image(&[], 60_000_000),
        ];
        assert_eq!(
            told(&there, &key),
            "`docker image prune` frees up to 110.0 MB of images without a name; 2 images of production/hello take up to \
             700.0 MB: keep fewer releases (`retain:`)"
        );
        assert_eq!(told(&there[..1], &key), "");
    }
}
