//! Images that nothing needs any more.

use bollard::Docker;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use cutover_core::{Digest, ServiceKey};
use cutover_fleet::{ImageName, Machine};
use futures_util::future::join_all;

use crate::Result;

/// The names of the images of a service at a destination but those in `kept`.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(crate) async fn needless(machine: &Machine, key: &ServiceKey, kept: &[&Digest]) -> Result<Vec<String>> {
    let kept: Vec<ImageName> = kept.iter().map(|digest| ImageName::new(key, digest)).collect();
    let Some(repository) = kept.first().map(ImageName::repository) else { return Ok(Vec::new()) };
    let docker = machine.docker().await?;
    let filters = [("reference", vec![repository])].into();
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = docker.list_images(Some(options)).await;
    let images = images.map_err(machine.host().docker_failed("listing images"))?;
    let names = images.into_iter().flat_map(|image| image.repo_tags);
    Ok(superfluous(names, repository, &kept))
}

/// Removes the images of these names. One that a container uses stays; what can't be removed for another reason is said and
/// left for the next time: disk space is all that it costs.
pub(crate) async fn prune(machine: &Machine, docker: &Docker, names: Vec<String>) {
    join_all(names.into_iter().map(async |name| {
        let options = RemoveImageOptionsBuilder::default().build();
        match docker.remove_image(&name, Some(options), None).await {
            Ok(_) => tracing::info!(host = %machine.name(), name, "pruned an image"),
            // 404: it is gone. 409: a container uses it.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => {
                tracing::warn!(host = %machine.name(), name, %error, "an image could not be pruned")
            }
        }
    }))
    .await;
}

/// Of the names of images, those of this repository that aren't kept. A name of another repository may be the same image's.
fn superfluous(names: impl Iterator<Item = String>, repository: &str, kept: &[ImageName]) -> Vec<String> {
    let within = |name: &String| name.strip_prefix(repository).is_some_and(|rest| rest.starts_with(':'));
    names.filter(|name| within(name) && !kept.iter().any(|kept| kept.to_string() == *name)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_or_another_ones_stays() {
        let key = crate::fixture::key();
        let [live, before, oldest] = [b"live", b"last", b"rest"].map(|image| Digest::of(image));
        let name = |digest| ImageName::new(&key, digest);
        let repository = name(&live).repository().to_owned();
        let there = [
            name(&live).to_string(),
            name(&before).to_string(),
            name(&oldest).to_string(),
            format!("cutover/staging/hello:{}", oldest.short()),
            format!("cutover/production/hello-worker:{}", oldest.short()),
            "cutover/production/hello@sha256:0123".to_owned(),
            "cutover/proxy:0123456789ab".to_owned(),
            "<none>:<none>".to_owned(),
        ];
        let pruned = superfluous(there.into_iter(), &repository, &[name(&live), name(&before)]);
        assert_eq!(pruned, [name(&oldest).to_string()]);
    }
}
