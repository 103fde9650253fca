//! From a commit in a repository to a build context in the artifact store.

use std::path::Path;
use std::time::Duration;

use cutover_context::{Commit, Context, Repository, Scratch};
use cutover_core::{BuildContext, GitSource, origin};
use cutover_host::KeyAgent;
use cutover_secrets::Values;
use cutover_store::Store;

use crate::{Error, Result};

/// What a deploy file is called, which stays out of the context: a setting that changes doesn't build the image anew.
const DEPLOY_FILE: &str = "cutover.yaml";

/// A commit that is ready to be built.
#[derive(Debug)]
pub struct Fetched {
    /// The folder of it that is the context, and what is made of it.
    pub context: BuildContext,
    /// Which it is.
    pub commit: Commit,
    /// The text of its Dockerfile.
    pub dockerfile: String,
}

/// Gets the commit, and packs the folder of it that is the context. Where the plan doesn't say which commit it is, the one that
/// its branch or tag stands for now. Hosts are verified against `known_hosts`. Each command of Git may take as long as `limit`; no file of it is left here, also where
/// this program is killed before the end.
///
/// # Errors
/// A repository that can't be reached, a key that can't be read, a commit without that folder or Dockerfile.
pub async fn fetch(
    source: &GitSource,
    values: &Values,
    store: &Store,
    known_hosts: &Path,
    limit: Duration,
) -> Result<Fetched> {
    let GitSource { url, reference, commit, folder, key, recipe } = source;
    let scratch = Scratch::new()?;
    let mut repository = Repository::new(url, limit).with_known_hosts(known_hosts.to_owned());
    let _agent = match key {
        Some(reference) => {
            let name = "builder.git.key";
            let value = values.resolve(reference).await;
            let value = value.map_err(|source| Error::Secret { key: name.to_owned(), source })?;
            let socket = scratch.folder().join("agent");
            let agent = KeyAgent::new(name, value.expose()).await?.listen(&socket).map_err(Error::Agent)?;
            repository = repository.with_agent(socket);
            Some(agent)
        }
        None => None,
    };
    let commit = repository.resolve(commit.as_ref().unwrap_or(reference)).await?;
    let files = scratch.folder().join("files");
    let folder = repository.checkout(&commit, &files, folder).await?;
    let context = Context::new(&folder, &recipe.dockerfile, &folder.join(DEPLOY_FILE))?;
    let dockerfile = context.dockerfile()?;
    let (archive, _) = context.store(store).await?;
    let mut recipe = recipe.clone();
    for (label, value) in [(origin::REVISION, commit.as_str()), (origin::SOURCE, url)] {
        recipe.labels.entry(label.to_owned()).or_insert_with(|| value.to_owned());
    }
    Ok(Fetched { context: BuildContext { archive, recipe }, commit, dockerfile })
}
