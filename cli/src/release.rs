//! From the folder in front of us to the release that it would be deployed as.

use std::path::Path;
use std::time::Duration;

use cutover_context::{Context, Repository, Scratch, advise, last_user};
use cutover_core::{
    BuildContext, Container, Digest, GitRepository, GitSource, ImageSource, MigrationFile, MigrationSource,
    Model, Recipe, Release, Settings, Sidecar, SidecarName, Source, Target, origin,
};
use cutover_migration::lint::Verdict;
use cutover_store::Store;

use crate::console::Console;
use crate::error::Error;
use crate::migrations::{self, Folder};
use crate::project::{Known, Project};
use crate::rails;
use crate::size;
use crate::version;

/// How long a command of Git may take here: the repository is only asked what its names mean, or is on this machine.
const LOOKING: Duration = Duration::from_secs(30);

/// A release, what its migrations do to those who use the database, and what had better be otherwise.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) release: Release,
    /// The statements of all its migrations, those included that were applied long ago.
    pub(crate) verdicts: Vec<Verdict>,
    /// Of the deploy file, the Dockerfile and the context; they were told already.
    pub(crate) warnings: Vec<String>,
}

/// What had better be otherwise, told as it is found.
struct Warnings {
    console: Console,
    told: Vec<String>,
}

impl Warnings {
    fn tell(&mut self, warning: String) {
        self.console.note(format_args!("warning: {warning}"));
        self.told.push(warning);
    }
}

/// The release of a project, with these models. With a store, what it is made of is put there; without one, nothing is written.
/// What had better be otherwise is told.
///
/// # Errors
/// A context, a Dockerfile or migrations that can't be read; a store that can't be written.
pub(crate) async fn assemble(
    project: &Project,
    models: Vec<Model>,
    version: Option<String>,
    store: Option<&Store>,
    console: Console,
) -> anyhow::Result<Assembled> {
    let mut warnings = Warnings { console, told: Vec::new() };
    let own = Part::own(&project.target);
    let (Found { source, commit, of_rails }, migrations) =
        tokio::try_join!(source(project, own, store, &mut warnings), migrations(project, store))?;
    let mut sidecars = Vec::new();
    for wanted in &project.target.sidecars {
        let Found { source, .. } =
            Box::pin(self::source(project, Part::of(wanted), store, &mut warnings)).await?;
        sidecars.push(wanted.clone().with(|_| source));
    }
    let settings = Settings { models, sidecars, ..project.target.settings.clone() };
    for warning in settings.warnings() {
        warnings.tell(warning.to_string());
    }
    let Folder { files: mut migrations, verdicts } = migrations;
    migrations.extend(of_rails);
    let unnamed = Release { version: String::new(), source, settings, migrations };
    let version = version.or(commit).unwrap_or_else(|| version::of(&unnamed));
    Ok(Assembled { release: Release { version, ..unnamed }, verdicts, warnings: warnings.told })
}

/// The commit that a release of the project is going to be named by, as far as it is known before anything is read.
pub(crate) async fn commit(project: &Project) -> Option<String> {
    let known = project.known().map(|known| version::short(known.commit.as_str()));
    match &project.target.image {
        ImageSource::Builder { git: None | Some(GitRepository { url: None, .. }), .. } if known.is_some() => {
            known
        }
        ImageSource::Builder { context, git: None, .. } => {
            version::of_work_tree(&project.folder().join(context)).await
        }
        ImageSource::Builder { git: Some(GitRepository { url: None, reference, .. }), .. } => {
            let (top, _) = version::place_in_repository(project.folder()).await?;
            let commit = Repository::new(&top, LOOKING).resolve(reference).await.ok()?;
            Some(version::short(&commit.to_string()))
        }
        _ => None,
    }
}

/// What an image is needed for.
#[derive(Clone, Copy)]
struct Part<'a> {
    image: &'a ImageSource,
    container: &'a Container,
    /// None: the service itself.
    sidecar: Option<&'a SidecarName>,
}

impl<'a> Part<'a> {
    const fn own(target: &'a Target) -> Self {
        Self { image: &target.image, container: &target.settings.container, sidecar: None }
    }

    const fn of(sidecar: &'a Sidecar<ImageSource>) -> Self {
        Self { image: &sidecar.source, container: &sidecar.container, sidecar: Some(&sidecar.name) }
    }

    /// A warning of its Dockerfile or its context.
    fn named(self, warning: String) -> String {
        self.sidecar.map_or_else(|| warning.clone(), |sidecar| format!("sidecar {sidecar}: {warning}"))
    }
}

/// Where an image comes from.
struct Found {
    source: Source,
    /// The commit that a release of it is named by.
    commit: Option<String>,
    /// The migrations that lie in it, where it is an application of Rails that is to run its own.
    of_rails: Vec<MigrationFile>,
}

/// Where the image comes from.
async fn source(
    project: &Project,
    part: Part<'_>,
    store: Option<&Store>,
    warnings: &mut Warnings,
) -> anyhow::Result<Found> {
    // The commit says nothing of an image that was made elsewhere.
    let elsewhere = async |source| {
        let of_rails = of_rails(project, part, project.folder(), store).await?;
        Ok(Found { source, commit: None, of_rails })
    };
    let (context, git, recipe) = match part.image {
        ImageSource::Existing(image) => return elsewhere(Source::Image(image.clone())).await,
        ImageSource::Private(image) => return elsewhere(Source::Private(image.clone())).await,
        ImageSource::Builder { context, git, recipe } => (context, git, recipe.clone()),
    };
    match git {
        None => of_folder(project, part, (context, recipe), store, warnings).await,
        Some(GitRepository { url: None, reference, .. }) => {
            of_own_commit(project, part, reference, (context, recipe), store, warnings).await
        }
        Some(GitRepository { url: Some(url), .. })
            if part.sidecar.is_none() && project.target.settings.rails.is_some() =>
        {
            Err(Error::RailsElsewhere(url.clone()).into())
        }
        Some(GitRepository { url: Some(url), reference, key }) => {
            let commit = match Repository::new(url, LOOKING).resolve(reference).await {
                Ok(commit) => Some(commit.to_string()),
                Err(error @ cutover_context::Error::NoReference { .. }) => return Err(error.into()),
                Err(error) => {
                    warnings
                        .console
                        .note(format_args!("note: the builder will look up '{reference}', as here {error}"));
                    None
                }
            };
            let version = commit.as_ref().map_or_else(|| reference.clone(), |commit| version::short(commit));
            let (url, reference, folder) = (url.clone(), reference.clone(), context.clone());
            let git = GitSource { url, reference, commit, folder, key: key.clone(), recipe };
            Ok(Found { source: Source::Git(git), commit: Some(version), of_rails: Vec::new() })
        }
    }
}

/// The files as they are in the folder.
async fn of_folder(
    project: &Project,
    part: Part<'_>,
    (context, mut recipe): (&str, Box<Recipe>),
    store: Option<&Store>,
    warnings: &mut Warnings,
) -> anyhow::Result<Found> {
    let folder = project.folder().join(context);
    let context = Context::new(&folder, &recipe.dockerfile, &project.file)?;
    let (archive, of_rails) = pack(project, part, context, &recipe, store, warnings).await?;
    let commit = if let Some(Known { commit, url }) = project.known() {
        let url = version::without_password(url);
        add(&mut recipe, [(origin::REVISION, commit.to_string()), (origin::SOURCE, url)]);
        Some(version::short(commit.as_str()))
    } else {
        let (labels, commit) = tokio::join!(version::origin(&folder), version::of_work_tree(&folder));
        add(&mut recipe, labels);
        commit
    };
    Ok(Found { source: Source::Context(BuildContext { archive, recipe }), commit, of_rails })
}

/// The files as they are in a commit of the repository that the deploy file is in: what isn't committed stays out.
async fn of_own_commit(
    project: &Project,
    part: Part<'_>,
    reference: &str,
    (context, mut recipe): (&str, Box<Recipe>),
    store: Option<&Store>,
    warnings: &mut Warnings,
) -> anyhow::Result<Found> {
    if let Some(Known { commit, .. }) = project.known() {
        if reference != "HEAD" && reference != commit.as_str() {
            let why = format!(
                "builder.git.ref is '{reference}', and what is asked for is commit {commit}: leave it out"
            );
            return Err(Error::Unattended(why).into());
        }
        return of_folder(project, part, (context, recipe), store, warnings).await;
    }
    let here = project.folder();
    let Some((top, below)) = version::place_in_repository(here).await else {
        return Err(Error::NoRepository(here.to_owned()).into());
    };
    let repository = Repository::new(&top, LOOKING);
    let commit = repository.resolve(reference).await?;
    let scratch = Scratch::new()?;
    let files = scratch.folder().join("files");
    let folder = repository.checkout(&commit, &files, &format!("{below}{context}")).await?;
    let own = project.file.strip_prefix(here).unwrap_or(&project.file);
    let deploy_file = files.join(&below).join(own);
    let context = Context::new(&folder, &recipe.dockerfile, &deploy_file)?;
    let (archive, of_rails) = pack(project, part, context, &recipe, store, warnings).await?;
    let url = version::url(here).await.map(|url| (origin::SOURCE, url));
    add(&mut recipe, [(origin::REVISION, commit.to_string())].into_iter().chain(url));
    let source = Source::Context(BuildContext { archive, recipe });
    Ok(Found { source, commit: Some(version::short(commit.as_str())), of_rails })
}

/// The digest of the archive, which is stored where there is a store, and the migrations of Rails in it. What had better be
/// otherwise is told of.
async fn pack(
    project: &Project,
    part: Part<'_>,
    context: Context,
    recipe: &Recipe,
    store: Option<&Store>,
    warnings: &mut Warnings,
) -> anyhow::Result<(Digest, Vec<MigrationFile>)> {
    let settings = &project.target.settings;
    let dockerfile = context.dockerfile()?;
    let container = part.container;
    if let Some((line, user)) = last_user(&dockerfile, recipe)
        && container.non_root
        && container.may_be_root(&user)
    {
        return Err(Error::RootImage { dockerfile: recipe.dockerfile.clone(), line, user }.into());
    }
    for advice in advise(&dockerfile, recipe, container.user.is_some()) {
        warnings.tell(part.named(format!("{}, {advice}", recipe.dockerfile)));
    }
    if let (None, Some(MigrationSource::Rails(root))) = (part.sidecar, &project.target.migrations) {
        let root = context.folder().join(root);
        rails::run_by_replicas(context.folder(), &root, &dockerfile, &settings.command)
            .into_iter()
            .for_each(|found| warnings.tell(found));
    }
    let of_rails = of_rails(project, part, context.folder(), store).await?;
    let (archive, bulk) = match store {
        Some(store) => context.store(store).await?,
        None => context.digest().await?,
    };
    if let Some((file, bytes)) = bulk.excess() {
        warnings.tell(part.named(format!(
            "the build context is {}, its largest file {} ({}): what the image doesn't need belongs into .dockerignore",
            size::bytes(bulk.bytes()),
            file.display(),
            size::bytes(bytes)
        )));
    }
    if let Some((file, bytes)) = bulk.model() {
        warnings.tell(part.named(format!(
            "the build context has a model in it, {} ({}): where the Dockerfile copies it, it travels and is kept with the image",
            file.display(),
            size::bytes(bytes)
        )));
    }
    Ok((archive, of_rails))
}

/// Adds labels that the deploy file doesn't give.
fn add(recipe: &mut Recipe, labels: impl IntoIterator<Item = (&'static str, String)>) {
    for (label, value) in labels {
        recipe.labels.entry(label.to_owned()).or_insert(value);
    }
}

async fn migrations(project: &Project, store: Option<&Store>) -> anyhow::Result<Folder> {
    let engine = project.target.settings.engine;
    match &project.target.migrations {
        Some(MigrationSource::Folder(folder)) => {
            migrations::read(&project.folder().join(folder), engine, store).await
        }
        Some(MigrationSource::Rails(_)) | None => Ok(Folder::default()),
    }
}

/// The migrations of Rails, where the application in `folder` is to run its own.
async fn of_rails(
    project: &Project,
    part: Part<'_>,
    folder: &Path,
    store: Option<&Store>,
) -> anyhow::Result<Vec<MigrationFile>> {
    match &project.target.migrations {
        Some(MigrationSource::Rails(root)) if part.sidecar.is_none() => {
            rails::read(folder, &folder.join(root), store).await
        }
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::fs;
    use std::process::Command;

    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
        let output =
            Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn release(folder: &Path) -> Release {
        assembled(folder).await.release
    }

    /// The release of the deploy file in `folder`, of which nothing is stored.
    async fn assembled(folder: &Path) -> Assembled {
        try_assembled(folder).await.unwrap()
    }

    async fn try_assembled(folder: &Path) -> anyhow::Result<Assembled> {
        let file = folder.join("cutover.yaml");
        let args = Args::try_parse_from(["cutover", "plan", "-q", "-f", file.to_str().unwrap()]).unwrap();
        let project = Project::open(&args.global).unwrap();
        assemble(&project, Vec::new(), None, None, Console::new(&args.global)).await
    }

    #[tokio::test]
    async fn of_the_own_repository_only_what_is_committed_is_built() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("shop");
        fs::create_dir(&folder).unwrap();
        let deploy_file =
            "service: hello\nbuilder: {git: {url: .}}\ndestinations: {production: {hosts: [203.0.113.7]}}\n";
        fs::write(folder.join("cutover.yaml"), deploy_file).unwrap();
        fs::write(folder.join("Dockerfile"), "FROM scratch").unwrap();
        git(top.path(), &["init", "--quiet", "-b", "main"]);
        git(top.path(), &["remote", "add", "origin", "https://anna:hunter2@example.com/hello.git"]);
        git(top.path(), &["add", "--all"]);
        git(top.path(), &["commit", "--quiet", "-m", "one"]);
        let commit = git(top.path(), &["rev-parse", "HEAD"]);

        let committed = release(&folder).await;
        assert_eq!(committed.version, version::short(&commit));
        let Source::Context(context) = &committed.source else { panic!("{:?}", committed.source) };
        assert_eq!(context.recipe.labels[origin::REVISION], commit);
        assert_eq!(context.recipe.labels[origin::SOURCE], "https://example.com/hello.git");

        fs::write(folder.join("Dockerfile"), "FROM other").unwrap();
        fs::write(folder.join("new"), "not committed").unwrap();
        assert_eq!(release(&folder).await, committed);
        let as_it_is = deploy_file.replace("builder: {git: {url: .}}\n", "");
        fs::write(folder.join("cutover.yaml"), as_it_is).unwrap();
        assert!(!release(&folder).await.source.makes_the_same(&committed.source));
    }

    #[tokio::test]
    async fn what_had_better_be_otherwise_is_known_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("cutover.yaml"),
            "service: hello\ndestinations: {production: {hosts: [203.0.113.7]}}\n",
        )
        .unwrap();
        fs::write(folder.path().join("Dockerfile"), "FROM debian:latest\n").unwrap();
        let warnings = assembled(folder.path()).await.warnings;
        assert!(warnings.iter().any(|warning| warning.starts_with("Dockerfile, line 1: ")), "{warnings:?}");
    }

    #[tokio::test]
    async fn a_dockerfile_that_ends_as_root_is_refused_where_nothing_may() {
        let folder = tempfile::tempdir().unwrap();
        let write = |lines: &str| {
            let text =
                format!("service: hello\n{lines}destinations: {{production: {{hosts: [203.0.113.7]}}}}\n");
            fs::write(folder.path().join("cutover.yaml"), text).unwrap();
        };
        fs::write(folder.path().join("Dockerfile"), "FROM debian:12\nUSER 1000\nUSER root\n").unwrap();
        write("");
        assembled(folder.path()).await;
        write("policy: {require_non_root: true}\n");
        let error = try_assembled(folder.path()).await.unwrap_err();
        let refused = error.downcast_ref::<Error>().unwrap();
        assert!(matches!(refused, Error::RootImage { line: 3, user, .. } if user == "root"), "{error}");
        assert!(refused.hint().is_some());
        write("policy: {require_non_root: true}\ncontainer: {user: \"1000\"}\n");
        assembled(folder.path()).await;
        // Whoever that is, only the image knows.
        fs::write(folder.path().join("Dockerfile"), "FROM debian:12\nUSER app\n").unwrap();
        write("policy: {require_non_root: true}\n");
        let error = try_assembled(folder.path()).await.unwrap_err();
        let refused = error.downcast_ref::<Error>().unwrap();
        assert!(matches!(refused, Error::RootImage { line: 2, user, .. } if user == "app"), "{error}");
        // Its base may have a user: that is known once it is there.
        fs::write(folder.path().join("Dockerfile"), "FROM debian:12\n").unwrap();
        write("policy: {require_non_root: true}\n");
        assembled(folder.path()).await;
    }

    #[tokio::test]
    async fn of_a_repository_elsewhere_the_commit_is_pinned() {
        let (folder, repository) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        git(repository.path(), &["init", "--quiet", "-b", "main"]);
        git(repository.path(), &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        let commit = git(repository.path(), &["rev-parse", "HEAD"]);
        for (url, pinned) in [(repository.path().to_str().unwrap(), Some(commit)), ("/no/such/folder", None)]
        {
            let deploy_file = format!(
                "service: hello\nbuilder: {{git: {{url: {url}, ref: main}}}}\ndestinations: {{production: {{hosts: [203.0.113.7]}}}}\n"
            );
            fs::write(folder.path().join("cutover.yaml"), deploy_file).unwrap();
            let release = release(folder.path()).await;
            assert_eq!(release.version, pinned.as_deref().map_or("main".to_owned(), version::short));
            let Source::Git(source) = release.source else { panic!("{:?}", release.source) };
            assert_eq!((source.commit, source.reference.as_str()), (pinned, "main"));
        }
    }
}
