//! A push as GitHub has it, and Gitea and GitLab with other words in places.

use cutover_core::Occasion;
use serde::Deserialize;

use crate::event::{Event, Told, commit, reference};
use crate::refusal::Refusal;

/// A push of a branch or a tag.
#[derive(Deserialize)]
pub(crate) struct Push {
    /// `refs/heads/main`, `refs/tags/v1`.
    #[serde(rename = "ref")]
    pub(crate) reference: String,
    /// What it is at; zeros: it is gone.
    pub(crate) after: String,
    #[serde(default)]
    pub(crate) commits: Vec<Commit>,
    /// How many there are, where `commits` needn't have all.
    #[serde(default, alias = "total_commits_count")]
    pub(crate) total_commits: Option<usize>,
    /// The commit that a tag is at: `after` may be the tag itself.
    pub(crate) head_commit: Option<Head>,
    /// The same, as GitLab has it.
    pub(crate) checkout_sha: Option<String>,
    /// Whether history was replaced, as far as it is said.
    #[serde(default)]
    pub(crate) forced: bool,
    pub(crate) repository: Option<Repository>,
    /// The same, as GitLab has it.
    pub(crate) project: Option<Repository>,
}

/// One of the commits that are new.
#[derive(Deserialize)]
pub(crate) struct Commit {
    added: Option<Vec<String>>,
    modified: Option<Vec<String>>,
    removed: Option<Vec<String>>,
}

/// A commit that is named.
#[derive(Deserialize)]
pub(crate) struct Head {
    id: String,
}

/// Where it is: information.
#[derive(Deserialize)]
pub(crate) struct Repository {
    #[serde(alias = "git_http_url")]
    clone_url: Option<String>,
}

impl Push {
    /// What it tells. `most` is how many commits the host lists at most.
    pub(crate) fn told(self, most: usize) -> Result<Told, Refusal> {
        let Some(of) = reference(&self.reference) else {
            return Ok(Told::Nothing(format!("{} is neither a branch nor a tag", self.reference)));
        };
        if commit(&self.after)?.is_none() {
            return Ok(Told::Nothing(format!("{} is gone", self.reference)));
        }
        let paths = self.paths(most);
        let head = self.head_commit.map(|head| head.id).or(self.checkout_sha);
        let Some(id) = commit(&head.unwrap_or(self.after))? else {
            return Ok(Told::Nothing(format!("{} is at no commit", self.reference)));
        };
        let repository = self.project.or(self.repository).and_then(|repository| repository.clone_url);
        let occasion = Occasion::Commit { id, of, repository };
        Ok(Told::one(Event { paths, ..Event::of(occasion) }))
    }

    /// The files that are different. Not known, where not all commits are listed, or some that were there are gone.
    fn paths(&self, most: usize) -> Option<Vec<String>> {
        let listed = self.commits.len();
        let all = listed > 0 && listed < most && self.total_commits.is_none_or(|total| total == listed);
        (all && !self.forced)
            .then(|| self.commits.iter().map(Commit::paths).collect::<Option<Vec<_>>>())?
            .map(|paths| paths.concat())
    }
}

impl Commit {
    fn paths(&self) -> Option<Vec<String>> {
        Some(
            [self.added.as_ref()?, self.modified.as_ref()?, self.removed.as_ref()?]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
        )
    }
}
