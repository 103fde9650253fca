//! The project that a request is about: the operator's repository at a commit, checked for what nobody present has vouched for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_context::{Commit, Repository, Scratch};
use cutover_core::{
    Hooks, ImageSource, MigrationSource, ModelSource, NeededSecret, Occasion, Ref, ServiceKey, Target,
};

use cutover_store::{BucketAddress, Location};

use super::repositories::{Source, leads_out};
use crate::args::Global;
use crate::error::Error;
use crate::project::{Known, Project};

/// How long a command of Git may take.
const LIMIT: Duration = Duration::from_mins(10);

/// A project, in a folder for as long as this is.
pub(super) struct Checkout {
    pub(super) project: Project,
    _scratch: Scratch,
}

impl Checkout {
    /// The project of a service at what has changed: a commit of the branch or tag that is named; for an image or a model, the newest
    /// commit of the repository's main branch.
    ///
    /// # Errors
    /// A repository that can't be reached; a commit that is none of the branch; a deploy file that is wrong, is another service's, needs
    /// somebody who is present, or leads out of the repository.
    pub(super) async fn of(
        source: &Source,
        key: &ServiceKey,
        occasion: &Occasion,
        options: &Global,
    ) -> anyhow::Result<Self> {
        let repository = Repository::new(&source.url, LIMIT);
        let repository =
            if source.submodules == Some(true) { repository } else { repository.without_submodules() };
        let scratch = Scratch::new()?;
        let commit = match occasion {
            Occasion::Commit { id, of, .. } => {
                let name = match of {
                    Ref::Branch(name) => format!("refs/heads/{name}"),
                    Ref::Tag(name) => format!("refs/tags/{name}"),
                };
                let commit = Commit::parse(id.as_str())
                    .ok_or_else(|| Error::Unattended(format!("{id} is no commit")))?;
                // A host may give out commits that are on no branch of it, such as a stranger's.
                if !repository.contains(&commit, &name, &scratch.folder().join("history")).await? {
                    return Err(Error::Unattended(format!("commit {id} is not one of {name}")).into());
                }
                commit
            }
            Occasion::Image { .. } | Occasion::Object { .. } => {
                let (branch, commit) = repository.main_branch().await?;
                source.check_branch(&branch).map_err(Error::Unattended)?;
                commit
            }
        };
        let folder = repository.checkout(&commit, &scratch.folder().join("files"), "").await?;
        // What it was fetched by is in there, and nobody looks into it any more.
        let own = folder.join(".git");
        fs::remove_dir_all(&own).map_err(Error::io("remove", &own))?;
        check_folders(&folder)?;
        if source.submodules.is_none() && folder.join(".gitmodules").symlink_metadata().is_ok() {
            let why = "the repository has submodules, from wherever a commit says: write in the file of repositories `submodules: true` to have them fetched, or `submodules: false` to do without";
            return Err(Error::Unattended(why.to_owned()).into());
        }
        let options = Global {
            file: folder.join(&source.file),
            destination: Some(key.destination.as_str().to_owned()),
            ..options.clone()
        };
        let project = Project::open_unattended(&options, Known { commit, url: source.url.clone() })?;
        check(&project.target, key)?;
        Ok(Self { project, _scratch: scratch })
    }
}

/// Refuses what only somebody who is present may have looked up, and what isn't in the repository.
fn check(target: &Target, key: &ServiceKey) -> Result<(), Error> {
    if target.key != *key {
        return Err(Error::Unattended(format!(
            "the deploy file is that of {}, and {key} is asked for",
            target.key
        )));
    }
    let needed = target.needed_secrets();
    let persons = needed.iter().filter(|needed| needed.reference.is_persons());
    let named: Vec<String> =
        persons.map(|NeededSecret { key, reference, .. }| format!("{key}: {reference}")).collect();
    if !named.is_empty() {
        return Err(Error::Unattended(format!(
            "env://, file://, cmd:// and $(…) are of the person who deploys, and nobody is present ({}): write vault:// or aws-sm://",
            named.join(", ")
        )));
    }
    if target.hooks != Hooks::default() {
        let why = "the deploy file has hooks, which run in the name of the person who deploys, and nobody is present: take them out";
        return Err(Error::Unattended(why.to_owned()));
    }
    let images = target.sidecars.iter().map(|sidecar| &sidecar.source).chain([&target.image]);
    let mut contexts = Vec::new();
    for image in images {
        let ImageSource::Builder { context, git, .. } = image else { continue };
        contexts.push(context);
        if let Some(url) = git.as_ref().and_then(|git| git.url.as_ref())
            && !is_elsewhere(url)
        {
            return Err(Error::Unattended(format!(
                "builder.git.url is '{url}', a folder of this machine, and nobody is present: write https:// or ssh://"
            )));
        }
    }
    for model in &target.models {
        if let ModelSource::Bucket(text) = &model.source {
            check_bucket(text)?;
        }
    }
    let models = target.models.iter().filter_map(|model| match &model.source {
        ModelSource::Folder(path) => Some(path),
        ModelSource::Bucket(_) | ModelSource::Web { .. } => None,
    });
    let migrations = target.migrations.iter().map(|source| match source {
        MigrationSource::Folder(path) | MigrationSource::Rails(path) => path,
    });
    match contexts.into_iter().chain(models).chain(migrations).find(|path| leads_out(path)) {
        Some(path) => {
            Err(Error::Unattended(format!("'{path}' in the deploy file leads out of the repository")))
        }
        None => Ok(()),
    }
}

/// Whether a URL of Git's is one of another machine.
fn is_elsewhere(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => ["https", "http", "ssh", "git"].contains(&scheme),
        // As in git@example.com:shop.git; with a slash before the colon it is a path.
        None => url.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/')),
    }
}

/// Refuses a bucket that this machine's credentials would be sent for to where the deploy file says, or that a file of it is read for.
fn check_bucket(text: &str) -> Result<(), Error> {
    match text.parse() {
        Ok(Location::Bucket(BucketAddress { credentials: None, endpoint: None, .. })) => Ok(()),
        _ => Err(Error::Unattended(format!(
            "the source of a model, '{text}', has `credentials` or `endpoint`, and nobody is present: leave them out, and set AWS_ENDPOINT_URL for `cutover serve`"
        ))),
    }
}

/// What makes a folder a repository for Git, whatever it is called (gitrepository-layout(5)).
const REPOSITORY: [&str; 3] = ["HEAD", "objects", "refs"];

/// Refuses links to files of this machine, and folders that Git would take for a repository, with settings that are commands.
fn check_folders(top: &Path) -> Result<(), Error> {
    let mut folders: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        if REPOSITORY.iter().all(|name| folder.join(name).symlink_metadata().is_ok()) {
            let name = folder.strip_prefix(top).unwrap_or(&folder).display();
            return Err(Error::Unattended(format!(
                "the folder '{name}' has what makes it a repository of Git"
            )));
        }
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(Error::io("read", &folder))?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() && fs::canonicalize(&path).is_ok_and(|to| !to.starts_with(top)) {
                let name = path.strip_prefix(top).unwrap_or(&path).display();
                return Err(Error::Unattended(format!("the link {name} leads out of the repository")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::DeployFile;

    use super::*;

    #[test]
    fn a_repository_leads_to_no_file_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(top.join("app")).unwrap();
        fs::write(top.join("a"), "").unwrap();
        std::os::unix::fs::symlink("../a", top.join("app/inside")).unwrap();
        check_folders(&top).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", top.join("app/outside")).unwrap();
        let told = check_folders(&top).unwrap_err().to_string();
        assert!(told.contains("app/outside"), "{told}");
        fs::remove_file(top.join("app/outside")).unwrap();
        fs::write(top.join("app/HEAD"), "ref: refs/heads/main").unwrap();
        fs::create_dir(top.join("app/objects")).unwrap();
        check_folders(&top).unwrap();
        fs::create_dir(top.join("app/refs")).unwrap();
        let told = check_folders(&top).unwrap_err().to_string();
        assert!(told.contains("'app'"), "{told}");

        let text = |more: &str| {
            format!("service: shop\n{more}\ndestinations: {{production: {{hosts: [192.0.2.1]}}}}\n")
        };
        let target = |more: &str| DeployFile::parse(&text(more), "x").unwrap().destination(None).unwrap();
        let shop = target("").key;
        for more in [
            "builder: {context: app}",
            "builder: {git: {url: 'git@example.com:shop.git'}}",
            "builder: {git: {url: 'https://example.com/shop.git'}}",
            "models: {minilm: {source: 's3://m/a?region=eu-west-1'}}",
        ] {
            check(&target(more), &shop).unwrap();
        }
        for (more, what) in [
            ("builder: {context: ../other}", "../other"),
            ("models: {minilm: {source: 'file:/var/lib/secret'}}", "/var/lib/secret"),
            ("hooks: {before_deploy: 'touch /tmp/x'}", "hooks"),
            ("builder: {git: {url: 'file:///srv/other.git'}}", "file:///srv/other.git"),
            ("builder: {git: {url: /srv/other.git}}", "/srv/other.git"),
            ("builder: {git: {url: 'other/a:b'}}", "other/a:b"),
            ("models: {minilm: {source: 's3://m/a?endpoint=https://example.com'}}", "example.com"),
            ("models: {minilm: {source: 's3://m/a?credentials=/root/.aws/credentials'}}", "credentials"),
            ("env: {secret: {TOKEN: 'cmd://pass show token'}}", "env.secret.TOKEN: cmd://pass"),
        ] {
            let told = check(&target(more), &shop).unwrap_err().to_string();
            assert!(told.contains(what), "{more}: {told}");
        }
        let other = ServiceKey { service: "blog".parse().unwrap(), ..shop };
        assert!(check(&target(""), &other).is_err());
    }
}
