//! Deliveries over HTTP, as the hosts document them, to a real nats-server that tells its users apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bitbucket;
mod buckets;
mod bus;
mod gitea;
mod github;
mod gitlab;
mod limits;
mod registries;
mod scene;
mod sign;
mod signed;

use cutover_core::{Occasion, Ref};

/// A push of a branch.
fn branch(id: &str, name: &str, repository: Option<&str>) -> Occasion {
    let of = Ref::Branch(name.to_owned());
    Occasion::Commit { id: id.parse().unwrap(), of, repository: repository.map(str::to_owned) }
}

/// A push of a tag.
fn tag(id: &str, name: &str, repository: Option<&str>) -> Occasion {
    let of = Ref::Tag(name.to_owned());
    Occasion::Commit { id: id.parse().unwrap(), of, repository: repository.map(str::to_owned) }
}

/// A push of an image.
fn image(repository: &str, digest: &str, tag: &str) -> Occasion {
    let (repository, tag) = (repository.to_owned(), Some(tag.to_owned()));
    Occasion::Image { repository, digest: format!("sha256:{digest}").parse().unwrap(), tag }
}
