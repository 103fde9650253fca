//! The ship stage: what a host lacks of the image, and nothing else.

use bollard::models::ImageInspect;
use cutover_core::{Container, Digest, Plan, Program, Progress, SidecarImages};
use cutover_fleet::{ImageName, Machine};
use cutover_registry::{Image, Platform};
use cutover_secrets::Values;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::pull::pull;
use crate::{Error, Origin, Result, publication, space};

/// Brings all images of a plan to the host, one after the other: that of the service, `own`, and those of its sidecars.
///
/// # Errors
/// An image that would run as root where nothing may, or isn't whole in the store; a host without space for it; the time limit; a
/// host or a Docker that can't be reached.
pub async fn ship(
    machine: &Machine,
    origin: &Origin,
    plan: &Plan,
    (own, sidecars): (&Digest, &SidecarImages),
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let settings = &plan.release.settings;
    let mut sent = Box::pin(ship_one(machine, origin, plan, own, &settings.container, progress)).await?;
    for sidecar in &settings.sidecars {
        let Some(built) = sidecars.get(&sidecar.name) else { continue };
        let shipped = ship_one(machine, origin, plan, &built.image, &sidecar.container, progress);
        sent += Box::pin(shipped).await?;
    }
    Ok(sent)
}

/// Brings the image with this manifest, or index, from `origin` to the host, under its [`ImageName`], within
/// `timeouts.ship`. Answers with the bytes that were sent to it: none where it had the image already. Layers that any
/// image on the host has are not sent, and the lower ones are sent before the higher ones. Of what is interrupted, the host
/// keeps the large layers that it has whole: the next attempt sends the others.
///
/// Where the release names a repository, the image is put there first, and the host pulls it from there.
///
/// # Errors
/// An image that would run as root where nothing may, or isn't whole in the store, a host without space for it, the time limit, and a host or a Docker that can't
/// be reached.
async fn ship_one(
    machine: &Machine,
    origin: &Origin,
    plan: &Plan,
    digest: &Digest,
    container: &Container,
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let name = ImageName::new(&plan.key, digest);
    let limit = plan.release.settings.timeouts.ship;
    let unreadable = |source| Error::Image {
        image: digest.clone(),
        host: machine.name().clone(),
        source: Box::new(source),
    };
    let shipped = async {
        let (held, platform) = tokio::try_join!(held(machine, &name), platform(machine))?;
        let image = Image::read(&origin.store, digest, &platform).await.map_err(unreadable)?;
        if container.non_root {
            let user = image.user(&origin.store).await.map_err(unreadable)?;
            may_run(machine, container, digest, &user)?;
        }
        if held.is_some_and(|held| is(&held, &image)) {
            return Ok(0);
        }
        Box::pin(space::check(machine, &origin.store, &plan.key, &image)).await?;
        let pulled = match &plan.release.settings.repository {
            Some(repository) => {
                let through = (repository, &Values::by(plan, Program::Shipper, &origin.stores));
                Box::pin(publication::pull(machine, origin, through, &image, &name, progress)).await
            }
            None => pull(machine, origin, &image, (&plan.key, &name), progress).await,
        };
        match pulled {
            Err(Error::NoSpace { image, host, reason, .. }) => {
                // Without it, the reason alone is told.
                let freeable = space::freeable(machine, &plan.key).await.unwrap_or_default();
                Err(Error::NoSpace { image, host, reason, freeable })
            }
            pulled => pulled,
        }
    };
    let late = || Error::Late { image: digest.clone(), host: machine.name().clone(), limit };
    timeout(limit.0, shipped).await.unwrap_or_else(|_| Err(late()))
}

/// What the host's Docker has under the image's name.
async fn held(machine: &Machine, name: &ImageName) -> Result<Option<ImageInspect>> {
    match machine.docker().await?.inspect_image(&name.to_string()).await {
        Ok(image) => Ok(Some(image)),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(machine.host().docker_failed(format!("looking for image {name}"))(error).into()),
    }
}

/// Refuses an image that would run as root, or as somebody who may be, where nothing may.
fn may_run(machine: &Machine, container: &Container, digest: &Digest, user: &str) -> Result<()> {
    if container.may_be_root(user) {
        let (image, host) = (digest.clone(), machine.name().clone());
        Err(Error::Root { image, host, user: user.into() })
    } else {
        Ok(())
    }
}

/// What the host's images are made for.
async fn platform(machine: &Machine) -> Result<Platform> {
    let version = machine.docker().await?.version().await;
    let version = version.map_err(machine.host().docker_failed("asking for its platform"))?;
    Ok(Platform::linux(version.arch.as_deref().unwrap_or("amd64")))
}

/// Whether what Docker has is this image: a name alone may have been given to another. Docker's own image store identifies
/// images by their config, the containerd store by their manifest or index.
fn is(held: &ImageInspect, image: &Image) -> bool {
    let id = held.id.as_deref().unwrap_or_default();
    let by_digest = held.repo_digests.iter().flatten().filter_map(|name| name.split_once('@'));
    [&image.config.digest, &image.manifest, &image.digest].iter().any(|digest| digest.as_str() == id)
        || by_digest.into_iter().any(|(_, digest)| digest == image.digest.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Digest;
    use cutover_store::Store;

    use super::*;

    async fn image(store: &Store) -> Image {
        let config = store.put_bytes(b"{}").await.unwrap();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]}}"#
        );
        let manifest = store.put_bytes(manifest.as_bytes()).await.unwrap();
        Image::read(store, &manifest, &Platform::linux("amd64")).await.unwrap()
    }

    #[tokio::test]
    async fn an_image_is_known_by_its_digests_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(&Store::open(folder.path()).await.unwrap()).await;
        let held = |id: &Digest, by_digest: &[&str]| ImageInspect {
            id: Some(id.to_string()),
            repo_tags: Some(vec!["cutover/production/hello:0123456789ab".to_owned()]),
            repo_digests: Some(by_digest.iter().map(ToString::to_string).collect()),
            ..ImageInspect::default()
        };
        let (other, own) = (Digest::of(b"other"), format!("cutover/production/hello@{}", image.digest));
        let foreign = format!("cutover/production/hello@{other}");
        let table = [
            (held(&image.config.digest, &[]), true),
            (held(&image.digest, &[]), true),
            (held(&other, &[&foreign, &own]), true),
            (held(&other, &[]), false),
            (held(&other, &[&foreign]), false),
            (ImageInspect::default(), false),
        ];
        for (held, expected) in table {
            assert_eq!(is(&held, &image), expected, "{held:?}");
        }
    }
}
