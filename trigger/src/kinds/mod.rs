//! What each kind of source sends, by its published documentation: the parts of it that are read.

pub(crate) mod bitbucket;
pub(crate) mod gitea;
pub(crate) mod github;
pub(crate) mod gitlab;
pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod s3;
pub(crate) mod signed;
