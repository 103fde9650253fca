//! What a Vault answers.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Secret;
use crate::field::Field;

/// Why it refuses.
#[derive(Deserialize)]
pub(super) struct Errors {
    #[serde(default)]
    pub(super) errors: Vec<String>,
}

/// What holds what was asked for.
#[derive(Deserialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

/// A login.
#[derive(Deserialize)]
#[serde(from = "Auth")]
pub(super) struct Login {
    pub(super) token: Secret,
    /// Tokens of type batch end by themselves alone.
    pub(super) is_revocable: bool,
}

#[derive(Deserialize)]
struct Auth {
    auth: Authorised,
}

#[derive(Deserialize)]
struct Authorised {
    client_token: Secret,
    #[serde(default)]
    token_type: String,
}

impl From<Auth> for Login {
    fn from(Auth { auth }: Auth) -> Self {
        Self { token: auth.client_token, is_revocable: auth.token_type != "batch" }
    }
}

/// What is mounted somewhere.
#[derive(Deserialize)]
pub(super) struct Mount {
    /// Where, with a slash at its end.
    pub(super) path: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) options: Option<Options>,
}

#[derive(Deserialize)]
pub(super) struct Options {
    pub(super) version: Option<String>,
}

/// A secret of version 2.
#[derive(Deserialize)]
pub(super) struct Versioned {
    /// None in a version that was deleted.
    pub(super) data: Option<BTreeMap<String, Field>>,
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) destroyed: bool,
}

/// A token.
#[derive(Deserialize)]
pub(super) struct Token {
    /// How long it is good for, in seconds; 0: for ever.
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}
