//! What a source tells.

use cutover_core::{CommitId, EventId, Occasion, Ref};

use crate::refusal::Refusal;

/// Something that has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What tells it from others, where the source vouches for it; otherwise the body does.
    pub(crate) id: Option<EventId>,
    /// What has changed.
    pub(crate) occasion: Occasion,
    /// The files that are different, as paths from the top; none: the source doesn't say, or not of all.
    pub(crate) paths: Option<Vec<String>>,
}

/// What a delivery tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// These, in their order.
    Events(Vec<Event>),
    /// Nothing that could be deployed for, and why.
    Nothing(String),
}

impl Event {
    /// One of nobody's id and no files.
    pub(crate) const fn of(occasion: Occasion) -> Self {
        Self { id: None, occasion, paths: None }
    }
}

impl Told {
    /// One event.
    pub(crate) fn one(event: Event) -> Self {
        Self::Events(vec![event])
    }

    /// Those that there are, or nothing, and why.
    pub(crate) fn any(events: Vec<Event>, otherwise: &str) -> Self {
        if events.is_empty() { Self::Nothing(otherwise.to_owned()) } else { Self::Events(events) }
    }
}

/// The branch or tag that Git's full name of a reference means; none: another kind of reference.
pub(crate) fn reference(name: &str) -> Option<Ref> {
    let branch = name.strip_prefix("refs/heads/").map(|name| Ref::Branch(name.to_owned()));
    branch.or_else(|| name.strip_prefix("refs/tags/").map(|name| Ref::Tag(name.to_owned())))
}

/// The commit of this id; none: the id of no commit, zeros, by which hosts say that a branch is gone.
pub(crate) fn commit(id: &str) -> Result<Option<CommitId>, Refusal> {
    if id.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    id.parse().map(Some).map_err(|error: cutover_core::InvalidName| Refusal::Body(error.to_string()))
}
