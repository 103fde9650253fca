//! The release's name in front of people: the commit, else what the image is called or made of.

use std::path::Path;
use std::process::Stdio;

use cutover_context::git_settings;
use cutover_core::{PrivateImage, Release, Source, origin};
use tokio::process::Command;

/// Digits of a commit that are shown: enough for a million of them.
const SHORT: &str = "--short=12";

/// The commit that is checked out in `folder`, with `-dirty` where files below it differ from it. None outside of a Git
/// work tree, before the first commit, and where there is no Git.
pub(crate) async fn of_work_tree(folder: &Path) -> Option<String> {
    commit(folder, SHORT).await
}

/// The same, written as `format` (git-rev-parse(1)) says.
async fn commit(folder: &Path, format: &str) -> Option<String> {
    let commit = git(folder, &["rev-parse", format, "HEAD"]).await?;
    let changed = git(folder, &["status", "--porcelain", "--untracked-files=normal", "--", "."]).await?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Where a folder comes from, as labels of an image: the commit, with `-dirty` where files differ from it, and the URL of the
/// repository that it was cloned from, without what may be a password in it. Nothing outside of a Git work tree.
pub(crate) async fn origin(folder: &Path) -> Vec<(&'static str, String)> {
    let commit = commit(folder, "--verify").await.map(|commit| (origin::REVISION, commit));
    let url = url(folder).await.filter(|_| commit.is_some()).map(|url| (origin::SOURCE, url));
    commit.into_iter().chain(url).collect()
}

/// The URL of the repository that the one around a folder was cloned from, without what may be a password in it.
pub(crate) async fn url(folder: &Path) -> Option<String> {
    git(folder, &["remote", "get-url", "origin"]).await.map(|url| without_password(&url))
}

/// The top folder of the repository around a folder, and the path from there to it: empty, or with a slash at its end.
pub(crate) async fn place_in_repository(folder: &Path) -> Option<(String, String)> {
    let top = git(folder, &["rev-parse", "--show-toplevel"]).await?;
    Some((top, git(folder, &["rev-parse", "--show-prefix"]).await?))
}

/// The beginning of a commit's name, as it is shown.
pub(crate) fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}

/// A URL without its user and password, where it is one with a scheme.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The name of a release outside of Git: an id of all that it is made of, so that two that differ in a setting alone have
/// two names; or the image's tag.
pub(crate) fn of(release: &Release) -> String {
    match &release.source {
        Source::Context(_) | Source::Git(_) => release.id().to_string(),
        Source::Image(image) | Source::Private(PrivateImage { image, .. }) => of_image(image).to_owned(),
    }
}

/// The tag of an image, or the beginning of its digest; `latest` where it has neither, as Docker has it.
fn of_image(image: &str) -> &str {
    if let Some((_, digest)) = image.split_once("@sha256:") {
        return digest.get(..12).unwrap_or(digest);
    }
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    name.split_once(':').map_or("latest", |(_, tag)| tag)
}

async fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").args(git_settings()).arg("-C").arg(folder).args(arguments);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn run(folder: &Path, arguments: &[&str]) {
        let identity =
            ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"];
        let status = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(identity)
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(status.await.unwrap().success(), "git {arguments:?}");
    }

    #[test]
    fn a_password_does_not_stay_in_the_url() {
        for (url, shown) in [
            ("https://anna:hunter2@github.com/acme/hello.git", "https://github.com/acme/hello.git"),
            ("https://token@github.com", "https://github.com"),
            ("ssh://git@example.com:2222/a@b", "ssh://example.com:2222/a@b"),
            ("git@github.com:acme/hello.git", "git@github.com:acme/hello.git"),
            ("/srv/hello.git", "/srv/hello.git"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[tokio::test]
    async fn a_work_tree_is_named_by_its_commit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_work_tree(folder.path()).await, None);
        run(folder.path(), &["init", "--quiet"]).await;
        assert_eq!(of_work_tree(folder.path()).await, None, "before the first commit");
        std::fs::write(folder.path().join("a"), "1").unwrap();
        run(folder.path(), &["add", "a"]).await;
        run(folder.path(), &["commit", "--quiet", "--message", "a"]).await;
        let commit = of_work_tree(folder.path()).await.unwrap();
        assert_eq!(commit.len(), 12);
        assert!(commit.bytes().all(|b| b.is_ascii_hexdigit()), "{commit}");
        std::fs::write(folder.path().join("new"), "").unwrap();
        assert_eq!(of_work_tree(folder.path()).await.unwrap(), format!("{commit}-dirty"));
    }

    #[tokio::test]
    async fn changes_outside_of_the_folder_are_not_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("app");
        std::fs::create_dir(&app).unwrap();
        std::fs::write(app.join("a"), "1").unwrap();
        run(folder.path(), &["init", "--quiet"]).await;
        run(folder.path(), &["add", "."]).await;
        run(folder.path(), &["commit", "--quiet", "--message", "a"]).await;
        std::fs::write(folder.path().join("beside"), "").unwrap();
        assert!(!of_work_tree(&app).await.unwrap().ends_with("-dirty"));
    }

    #[tokio::test]
    async fn a_folder_that_looks_like_a_repository_has_nothing_run() {
        let folder = tempfile::tempdir().unwrap();
        let (app, ran) = (folder.path().join("app"), folder.path().join("ran"));
        std::fs::create_dir(&app).unwrap();
        run(folder.path(), &["init", "--quiet", "--bare", "app"]).await;
        let settings = format!(
            "[core]\nrepositoryformatversion = 0\nbare = false\nworktree = .\nfsmonitor = \"touch {}; false\"\n",
            ran.display()
        );
        std::fs::write(app.join("config"), settings).unwrap();
        std::fs::write(app.join("a"), "1").unwrap();
        run(&app, &["add", "a"]).await;
        run(&app, &["commit", "--quiet", "--message", "a"]).await;
        run(&app, &["status", "--short"]).await;
        assert!(ran.exists(), "the attempt is none");
        std::fs::remove_file(&ran).unwrap();
        assert_eq!((of_work_tree(&app).await, url(&app).await), (None, None));
        assert!(!ran.exists());
    }

    #[test]
    fn an_image_is_named_by_its_tag_or_digest() {
        let digest = format!("ghcr.io/a/b@sha256:{}", "0123456789ab".repeat(5));
        for (image, version) in [
            ("hello", "latest"),
            ("hello:1.2", "1.2"),
            ("127.0.0.1:5000/hello", "latest"),
            ("127.0.0.1:5000/hello:1.2", "1.2"),
            (digest.as_str(), "0123456789ab"),
        ] {
            assert_eq!(of_image(image), version, "{image}");
        }
    }
}
