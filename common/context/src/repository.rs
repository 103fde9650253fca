//! A Git repository, and what its names mean at the moment.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::git::Git;
use crate::{Error, Result};

/// A Git repository at a URL, or in a folder of this machine.
#[derive(Clone, Debug)]
pub struct Repository {
    url: String,
    git: Git,
    submodules: bool,
}

/// The full name of a commit: 40 hexadecimal digits, or 64 in a repository that uses SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit(String);

impl Commit {
    /// The full name of a commit, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (matches!(text.len(), 40 | 64) && is_digits).then(|| Self(text.to_owned()))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Repository {
    /// The repository at `url`, in any form that Git understands. Each command of Git may take as long as `limit`.
    pub fn new(url: &str, limit: Duration) -> Self {
        Self { url: url.to_owned(), git: Git { limit, agent: None, known_hosts: None }, submodules: true }
    }

    /// The same, without the files of its submodules: where those are fetched from is for whoever writes a commit to say.
    pub const fn without_submodules(mut self) -> Self {
        self.submodules = false;
        self
    }

    /// The same, with the SSH agent at `socket` instead of the one of the environment.
    pub fn with_agent(mut self, socket: PathBuf) -> Self {
        self.git.agent = Some(socket);
        self
    }

    /// The same, with the keys of hosts verified against the file `known_hosts`, instead of the user's own (sshd(8)).
    pub fn with_known_hosts(mut self, known_hosts: PathBuf) -> Self {
        self.git.known_hosts = Some(known_hosts);
        self
    }

    /// The commit that a branch, a tag, `HEAD` or a commit's full name stands for now. A branch comes before a tag.
    ///
    /// # Errors
    /// A repository that can't be reached, and [`Error::NoReference`].
    pub async fn resolve(&self, reference: &str) -> Result<Commit> {
        if let Some(commit) = Commit::parse(reference) {
            return Ok(commit);
        }
        let peeled = format!("{reference}^{{}}");
        let arguments = ["ls-remote", "--quiet", "--", self.url.as_str(), reference, peeled.as_str()];
        let listed = self.git.run(None, &arguments, "look into", &self.url).await?;
        named(&listed, reference)
            .ok_or_else(|| Error::NoReference { url: self.url.clone(), reference: reference.to_owned() })
    }

    /// The repository's main branch, by its name, and the commit that it is at now: what `HEAD` stands for, and no branch of that name.
    ///
    /// # Errors
    /// A repository that can't be reached, whose `HEAD` is no branch, or whose server doesn't say which.
    pub async fn main_branch(&self) -> Result<(String, Commit)> {
        let arguments = ["ls-remote", "--quiet", "--symref", "--", self.url.as_str(), "HEAD"];
        let listed = self.git.run(None, &arguments, "look into", &self.url).await?;
        main_branch(&listed)
            .ok_or_else(|| Error::NoReference { url: self.url.clone(), reference: "HEAD".to_owned() })
    }

    /// Puts the files of a commit, with those of its submodules, into `files`, a folder that isn't there yet. Of the history
    /// nothing is fetched, where the server allows that. Answers where `folder`, a path in the repository, is now.
    ///
    /// # Errors
    /// A repository that can't be reached, or has no such commit or folder.
    pub async fn checkout(&self, commit: &Commit, files: &Path, folder: &str) -> Result<PathBuf> {
        fs::create_dir(files).map_err(Error::io("make the folder", files))?;
        let files = fs::canonicalize(files).map_err(Error::io("open the folder", files))?;
        let run = async |arguments: &[&str], action| {
            self.git.run(Some(&files), arguments, action, &self.url).await.map(drop)
        };
        run(&["init", "--quiet"], "prepare a copy of").await?;
        run(&["remote", "add", "origin", &self.origin().await], "prepare a copy of").await?;
        let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", &self.url, commit.as_str()];
        if run(&shallow, "fetch a commit of").await.is_err() {
            // Some servers give out what has a name, and nothing else.
            let all =
                ["fetch", "--quiet", "--", &self.url, "+refs/heads/*:refs/all/*", "+refs/tags/*:refs/tags/*"];
            run(&all, "fetch").await?;
        }
        run(&["checkout", "--quiet", "--detach", commit.as_str()], "check out a commit of").await?;
        if self.submodules && files.join(".gitmodules").is_file() {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
            let shallow = [update.as_slice(), &["--depth=1"]].concat();
            if run(&shallow, "fetch the submodules of").await.is_err() {
                run(&update, "fetch the submodules of").await?;
            }
        }
        // A link could lead to files of this machine.
        let inside = fs::canonicalize(files.join(folder)).ok();
        inside.filter(|path| path.starts_with(&files) && path.is_dir()).ok_or_else(|| Error::NoFolder {
            url: self.url.clone(),
            commit: commit.to_string(),
            folder: folder.to_owned(),
        })
    }

    /// Whether a commit is one of those that a branch or tag, by its full name as in `refs/heads/main`, has now or had before. For that the
    /// history is fetched into `history`, a folder that isn't there yet; of the files nothing, where the server allows that.
    ///
    /// # Errors
    /// A repository that can't be reached, or has no such branch or tag.
    pub async fn contains(&self, commit: &Commit, name: &str, history: &Path) -> Result<bool> {
        fs::create_dir(history).map_err(Error::io("make the folder", history))?;
        let run = async |arguments: &[&str], action| {
            self.git.run(Some(history), arguments, action, &self.url).await
        };
        run(&["init", "--quiet"], "prepare a copy of").await?;
        let wanted = format!("+{name}:refs/wanted");
        let fetch = ["fetch", "--quiet", "--no-tags", "--filter=blob:none", "--", &self.url, &wanted];
        run(&fetch, "fetch the history of").await?;
        // The tag may be an object of its own.
        let listed = run(&["rev-list", "refs/wanted^{commit}"], "look into").await?;
        Ok(listed.lines().any(|line| line == commit.as_str()))
    }

    /// What the URLs of submodules are relative to: the repository's own origin, where it is a clone on this machine.
    async fn origin(&self) -> String {
        if !Path::new(&self.url).is_dir() {
            return self.url.clone();
        }
        let folder = Some(Path::new(&self.url));
        let origin = self.git.run(folder, &["remote", "get-url", "origin"], "look into", &self.url).await;
        origin.map_or_else(|_| self.url.clone(), |origin| without_password(&origin))
    }
}

/// A URL without the password that a clone may have in it: arguments of processes are for everybody to see. Submodules that need one
/// get it as Git gets it elsewhere, from a credential helper.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((user, host)) if scheme != "ssh" || user.contains(':') => format!("{scheme}://{host}/{path}"),
        _ => url.to_owned(),
    }
}

/// What `git ls-remote --symref` says of `HEAD`: it also lists all names that end so.
fn main_branch(listed: &str) -> Option<(String, Commit)> {
    let lines = listed.lines().filter_map(|line| line.split_once('\t'));
    let own: Vec<&str> = lines.filter(|(_, name)| *name == "HEAD").map(|(what, _)| what).collect();
    let branch = own.iter().find_map(|what| what.strip_prefix("ref: refs/heads/"))?;
    Some((branch.to_owned(), own.iter().find_map(|what| Commit::parse(what))?))
}

/// What a name means in the list that `git ls-remote` prints: it lists all names that end so. `HEAD` is that of the repository, as whoever
/// may push could have a branch or tag called so.
fn named(listed: &str, reference: &str) -> Option<Commit> {
    let wanted = [
        format!("refs/heads/{reference}"),
        format!("refs/tags/{reference}^{{}}"),
        format!("refs/tags/{reference}"),
        format!("{reference}^{{}}"),
        reference.to_owned(),
    ];
    let find = |name: &String| {
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(_, listed)| listed == name).and_then(|(commit, _)| Commit::parse(commit))
    };
    let own = (reference == "HEAD").then(|| find(&reference.to_owned())).flatten();
    own.or_else(|| wanted.iter().find_map(find))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_whole_and_an_annotated_tag_leads_to_its_commit() {
        let digits = |digit: &str| digit.repeat(40);
        let listed = [
            ("a", "HEAD"),
            ("b", "refs/heads/feature/main"),
            ("c", "refs/heads/main"),
            ("d", "refs/tags/v1"),
            ("e", "refs/tags/v1^{}"),
            ("f", "refs/tags/main"),
            ("8", "refs/heads/HEAD"),
        ]
        .map(|(digit, name)| format!("{}\t{name}", digits(digit)))
        .join("\n");
        for (reference, digit) in [
            ("HEAD", "a"),
            ("main", "c"),
            ("feature/main", "b"),
            ("v1", "e"),
            ("refs/tags/v1", "e"),
            ("refs/tags/main", "f"),
        ] {
            assert_eq!(named(&listed, reference).unwrap().as_str(), digits(digit), "{reference}");
        }
        assert_eq!(named(&listed, "feature"), None);
    }

    #[test]
    fn only_a_full_name_is_one_of_a_commit() {
        assert!(Commit::parse(&"0a".repeat(20)).is_some());
        for text in ["0a0a0a0", &"0A".repeat(20), &"0g".repeat(20), ""] {
            assert_eq!(Commit::parse(text), None, "{text}");
        }
    }
}
