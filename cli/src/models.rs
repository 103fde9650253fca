//! From the models that the deploy file asks for to the versions that a release pins.

use cutover_core::{Digest, Model, ModelSource, Service, WantedModel};
use cutover_intake::{Origin, renew};
use cutover_store::{Location, Store};

use crate::console::Console;
use crate::error::Error;
use crate::project::Project;
use crate::size;

/// The models of a release of the project. With a store, they are there from then on; without one, it is only looked at what their
/// versions would be. A source that is as it was when a release of the service was made of it isn't read again.
///
/// # Errors
/// A source that can't be read, or is no model; a version that isn't there; a store that fails.
pub(crate) async fn resolve(
    project: &Project,
    service: &Service,
    store: Option<&Store>,
    console: Console,
) -> anyhow::Result<Vec<Model>> {
    let mut models = Vec::new();
    for wanted in &project.target.models {
        let (version, seen) = match pinned(wanted, store).await? {
            Some(version) => (version, None),
            None => found(project, service, wanted, store, console).await?,
        };
        let (name, mount) = (wanted.name.clone(), wanted.mount.clone());
        models.push(Model { name, version, mount, seen });
    }
    Ok(models)
}

/// The version that the file names, where the store has it, or nobody looks.
async fn pinned(wanted: &WantedModel, store: Option<&Store>) -> anyhow::Result<Option<Digest>> {
    let Some(version) = &wanted.version else { return Ok(None) };
    let is_there = match store {
        Some(store) => renew(store, version).await?,
        None => true,
    };
    Ok(is_there.then(|| version.clone()))
}

/// The version that is at its source, and what was seen there.
async fn found(
    project: &Project,
    service: &Service,
    wanted: &WantedModel,
    store: Option<&Store>,
    console: Console,
) -> anyhow::Result<(Digest, Option<Digest>)> {
    let origin = origin(project, wanted)?;
    let found = origin.look().await?;
    let seen = found.seen.clone();
    if let Some(known) = seen.as_ref().and_then(|seen| known(service, wanted, seen)) {
        let is_there = match store {
            Some(store) => renew(store, known).await?,
            None => true,
        };
        if is_there && wanted.version.is_none() {
            return Ok((known.clone(), seen));
        }
    }
    let length = found.size.map(|bytes| format!("{} of ", size::bytes(bytes))).unwrap_or_default();
    console.note(format_args!("model {}: reading {length}{}", wanted.name, wanted.source));
    let taken = origin.take_in(found, store, |_| ()).await?;
    if store.is_some() {
        let (new, all) = (size::bytes(taken.new), size::bytes(taken.size));
        let version = taken.version.short();
        console.note(format_args!("model {}: version {version}, {new} of {all} are new", wanted.name));
    }
    match &wanted.version {
        Some(version) if *version != taken.version => Err(Error::OtherVersion {
            model: wanted.name.clone(),
            place: wanted.source.clone(),
            wanted: version.clone(),
            found: taken.version,
        }
        .into()),
        _ => Ok((taken.version, seen)),
    }
}

/// The version that some release has which was made of what is seen now.
fn known<'a>(service: &'a Service, wanted: &WantedModel, seen: &Digest) -> Option<&'a Digest> {
    let kept = service.kept.iter().map(|kept| &kept.release);
    let releases = kept.chain(service.current.iter().map(|current| &current.plan.release));
    let mut models = releases.flat_map(|release| &release.settings.models);
    let same = models.find(|model| model.name == wanted.name && model.seen.as_ref() == Some(seen));
    same.map(|model| &model.version)
}

fn origin(project: &Project, wanted: &WantedModel) -> anyhow::Result<Origin> {
    let wrong = |reason: String| Error::Source { model: wanted.name.clone(), reason };
    Ok(match &wanted.source {
        ModelSource::Folder(path) => Origin::Folder(project.folder().join(path)),
        ModelSource::Bucket(text) => match text.parse().map_err(|error| wrong(format!("{error}")))? {
            Location::Bucket(address) => Origin::Bucket(address),
            Location::Folder { .. } => return Err(wrong(format!("'{text}' is no bucket")).into()),
        },
        ModelSource::Web { url, content } => {
            let url = url.parse().map_err(|error| wrong(format!("'{url}' is no URL: {error}")))?;
            Origin::Web(url, content.clone())
        }
    })
}
