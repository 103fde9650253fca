//! From the folder in front of us to the release that it would be deployed as.

use cutover_core::{BuildContext, ImageSource, MigrationFile, Release, Source};
use cutover_store::Store;

use crate::console::Console;
use crate::context::Context;
use crate::migrations;
use crate::project::Project;
use crate::version;

/// The release of a project. With a store, what it is made of is put there; without one, nothing is written. A context that
/// is large is told of, and what the deploy file had better not ask for.
///
/// # Errors
/// A context, a Dockerfile or migrations that can't be read; a store that can't be written.
pub(crate) async fn assemble(
    project: &Project,
    version: Option<String>,
    store: Option<&Store>,
    console: Console,
) -> anyhow::Result<Release> {
    let (source, migrations, commit) =
        tokio::try_join!(source(project, store, console), migrations(project, store), async {
            Ok(commit(project).await)
        })?;
    let settings = project.target.settings.clone();
    for warning in settings.warnings() {
        console.note(format_args!("warning: {warning}"));
    }
    let unnamed = Release { version: String::new(), source, settings, migrations };
    let version = version.or(commit).unwrap_or_else(|| version::of(&unnamed));
    Ok(Release { version, ..unnamed })
}

async fn source(project: &Project, store: Option<&Store>, console: Console) -> anyhow::Result<Source> {
    let (folder, recipe) = match &project.target.image {
        ImageSource::Existing(image) => return Ok(Source::Image(image.clone())),
        ImageSource::Builder { context, recipe } => (project.folder().join(context), recipe),
    };
    let context = Context::new(&folder, &recipe.dockerfile, &project.file)?;
    let (archive, bulk) = match store {
        Some(store) => context.store(store).await?,
        None => context.digest().await?,
    };
    if let Some(warning) = bulk.warning() {
        console.note(warning);
    }
    let mut recipe = recipe.clone();
    for (label, value) in version::origin(&folder).await {
        recipe.labels.entry(label.to_owned()).or_insert(value);
    }
    Ok(Source::Context(BuildContext { archive, recipe }))
}

async fn migrations(project: &Project, store: Option<&Store>) -> anyhow::Result<Vec<MigrationFile>> {
    match &project.target.migrations_folder {
        Some(folder) => migrations::read(&project.folder().join(folder), store).await,
        None => Ok(Vec::new()),
    }
}

/// The commit says nothing of an image that was made elsewhere.
async fn commit(project: &Project) -> Option<String> {
    match &project.target.image {
        ImageSource::Existing(_) => None,
        ImageSource::Builder { context, .. } => version::of_work_tree(&project.folder().join(context)).await,
    }
}
