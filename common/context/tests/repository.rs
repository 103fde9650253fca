//! Commits of real repositories: in a folder, and from a real `git daemon`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cutover_context::{Commit, Context, Error, Repository, Scratch};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(60);

fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Commits these files, and answers the commit.
fn commit(folder: &Path, files: &[(&str, &str)]) -> String {
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "-m", "a commit"]);
    git(folder, &["rev-parse", "HEAD"])
}

/// A `git daemon` for the repositories in `folder`, one process per connection; answers its URL.
async fn daemon(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("git://{}", listener.local_addr().unwrap());
    let base = format!("--base-path={}", folder.display());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let socket = socket.into_std().unwrap();
            socket.set_nonblocking(false).unwrap();
            let mut child = tokio::process::Command::new("git")
                .args(["daemon", "--inetd", "--export-all", &base])
                .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
                .stdout(Stdio::from(OwnedFd::from(socket)))
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            tokio::spawn(async move { child.wait().await });
        }
    });
    url
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_commit_is_found_by_its_names_and_its_files_are_those_of_then() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    git(here, &["init", "--quiet"]);
    let first = commit(here, &[("app/Dockerfile", "FROM scratch"), ("app/version", "1")]);
    git(here, &["tag", "-a", "v1", "-m", "the first"]);
    let second = commit(here, &[("app/version", "2")]);
    fs::write(here.join("app/version"), "not committed").unwrap();

    let repository = Repository::new(here.to_str().unwrap(), LIMIT);
    for (reference, meant) in [("v1", &first), ("main", &second), ("HEAD", &second), (&first, &first)] {
        assert_eq!(repository.resolve(reference).await.unwrap().as_str(), meant, "{reference}");
    }
    let absent = repository.resolve("v2").await;
    assert!(matches!(&absent, Err(Error::NoReference { reference, .. }) if reference == "v2"), "{absent:?}");

    let scratch = Scratch::new().unwrap();
    for (commit, content) in [(&first, "1"), (&second, "2")] {
        let commit = Commit::parse(commit).unwrap();
        let files = scratch.folder().join(commit.as_str());
        let app = repository.checkout(&commit, &files, "app").await.unwrap();
        assert_eq!(fs::read_to_string(app.join("version")).unwrap(), content);
        assert_eq!(names(&app), ["Dockerfile", "version"]);
    }
    let left = scratch.folder().to_owned();
    drop(scratch);
    assert!(!left.exists());
}

#[tokio::test]
async fn a_branch_that_is_called_head_is_not_what_the_repository_has_there() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    git(here, &["init", "--quiet"]);
    let first = commit(here, &[("version", "1")]);
    let repository = Repository::new(here.to_str().unwrap(), LIMIT);
    let is_first = (String::from("main"), Commit::parse(&first).unwrap());
    assert_eq!(repository.main_branch().await.unwrap(), is_first);
    git(here, &["checkout", "--quiet", "-b", "drafts"]);
    let second = commit(here, &[("version", "2")]);
    git(here, &["update-ref", "refs/heads/HEAD", &second]);
    git(here, &["update-ref", "refs/tags/HEAD", &second]);
    git(here, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    assert_eq!(repository.main_branch().await.unwrap(), is_first);
    assert_eq!(repository.resolve("HEAD").await.unwrap(), is_first.1);
    git(here, &["checkout", "--quiet", "--detach", "--force"]);
    assert!(matches!(repository.main_branch().await, Err(Error::NoReference { .. })));
}

#[tokio::test]
async fn a_folder_that_leads_out_of_the_repository_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    git(here, &["init", "--quiet"]);
    symlink("/etc", here.join("etc")).unwrap();
    let commit = Commit::parse(&commit(here, &[("file", "")])).unwrap();
    let repository = Repository::new(here.to_str().unwrap(), LIMIT);
    let scratch = Scratch::new().unwrap();
    for (index, path) in ["etc", "absent", "file"].into_iter().enumerate() {
        let files = scratch.folder().join(index.to_string());
        let refused = repository.checkout(&commit, &files, path).await;
        assert!(matches!(&refused, Err(Error::NoFolder { folder, .. }) if folder == path), "{refused:?}");
    }
}

// The daemon serves while this thread waits for a command of Git.
#[tokio::test(flavor = "multi_thread")]
async fn submodules_come_along_and_nothing_of_git_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (library, app) = (folder.path().join("library"), folder.path().join("app"));
    for path in [&library, &app] {
        fs::create_dir(path).unwrap();
        git(path, &["init", "--quiet"]);
    }
    commit(&library, &[("code", "old")]);
    let url = daemon(folder.path()).await;
    git(&app, &["remote", "add", "origin", &format!("{url}/app")]);
    git(&app, &["submodule", "--quiet", "add", "../library", "vendor/library"]);
    let wanted = commit(&app, &[("Dockerfile", "FROM scratch")]);
    commit(&library, &[("code", "new")]);
    let later = commit(&app, &[("Dockerfile", "FROM other")]);

    let repository = Repository::new(&format!("{url}/app"), LIMIT);
    assert_eq!(repository.resolve("main").await.unwrap().as_str(), later);
    let scratch = Scratch::new().unwrap();
    let wanted = Commit::parse(&wanted).unwrap();
    let files = repository.checkout(&wanted, &scratch.folder().join("files"), ".").await.unwrap();
    assert_eq!(fs::read_to_string(files.join("vendor/library/code")).unwrap(), "old");
    assert_eq!(fs::read_to_string(files.join("Dockerfile")).unwrap(), "FROM scratch");

    let store = cutover_store::Store::open(folder.path().join("store")).await.unwrap();
    let context = Context::new(&files, "Dockerfile", Path::new("none")).unwrap();
    let (archive, _) = context.store(&store).await.unwrap();
    let archive = store.get_bytes(&archive, 1 << 20).await.unwrap();
    let mut archive = tar::Archive::new(archive.as_ref());
    let packed: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(packed, [".gitmodules", "Dockerfile", "vendor/", "vendor/library/", "vendor/library/code"]);
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named() {
    let refused = Repository::new("git://127.0.0.1:1/absent", LIMIT).resolve("main").await.unwrap_err();
    assert!(refused.retryable());
    assert!(refused.to_string().contains("git://127.0.0.1:1/absent"), "{refused}");
}
