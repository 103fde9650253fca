//! Why a secret has no value. No message holds one.

use std::path::PathBuf;
use std::sync::Arc;

use crate::allowance::{InvalidPattern, VARIABLE};
use crate::values::KEY;
use crate::{aws, vault};

/// A reason why a reference could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable is not set.
    #[error("env://{0}: the variable is not set")]
    Unset(String),
    /// The variable or file holds nothing.
    #[error("{0}: it is empty")]
    Empty(cutover_core::Reference),
    /// The value is no text.
    #[error("{0}: its value is not UTF-8 text")]
    NotText(cutover_core::Reference),
    /// The file is a directory, a device or a pipe.
    #[error("file://{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It is too large to be a secret.
    #[error("{reference}: larger than {limit} bytes, which no secret is")]
    TooLarge {
        /// The reference.
        reference: cutover_core::Reference,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file can't be read.
    #[error("file://{}: can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A command has no value.
    #[error("{reference}: {why}")]
    Command {
        /// The reference.
        reference: cutover_core::Reference,
        /// Why not.
        why: String,
    },
    /// The value is in a store of secrets, where only a program reads it.
    #[error("{0}: it is read by the program that needs it")]
    NotHere(cutover_core::Reference),
    /// The value is the person's who deploys.
    #[error("{0}: the value is found by whoever deploys, where `cutover` runs")]
    Persons(cutover_core::Reference),
    /// Whoever deployed has not given the value to the program.
    #[error("{reference}: the deployment has no value of it for the {}: deploy again", reader.as_str())]
    NotGiven {
        /// The reference.
        reference: cutover_core::Reference,
        /// The program.
        reader: cutover_core::Program,
    },
    /// The program has no key.
    #[error(
        "what was sealed to this program can't be opened: {KEY} in its environment must name the file with its key"
    )]
    NoKey,
    /// The key can't be read.
    #[error("what was sealed to this program can't be opened: its key {} can't be read", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The key is none.
    #[error("what was sealed to this program can't be opened: its key {} is none", path.display())]
    MalformedKey {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: cutover_seal::Error,
    },
    /// What was sealed can't be opened.
    #[error("{reference}: {source}")]
    Sealed {
        /// The reference.
        reference: cutover_core::Reference,
        /// Why not.
        #[source]
        source: cutover_seal::Error,
    },
    /// The operator's list doesn't have it.
    #[error(
        "{0}: the operator has not allowed it: {VARIABLE} in the environment of this program must have a pattern that fits it"
    )]
    NotAllowed(cutover_core::Reference),
    /// The operator's list can't be read.
    #[error("{VARIABLE} in the environment of this program")]
    Allowance(#[from] InvalidPattern),
    /// Vault, or OpenBao, doesn't give it.
    #[error("{reference}: {source}")]
    Vault {
        /// What was asked for.
        reference: cutover_core::Reference,
        /// Why not.
        #[source]
        source: Arc<vault::Error>,
    },
    /// AWS Secrets Manager doesn't give it.
    #[error("{reference}: {source}")]
    Aws {
        /// What was asked for.
        reference: cutover_core::Reference,
        /// Why not.
        #[source]
        source: Arc<aws::Error>,
    },
    /// The secret has no such field.
    #[error("{0}: the secret is there, and has no field of that name")]
    NoField(cutover_core::Reference),
    /// The secret has no fields at all.
    #[error("{0}: the secret is there, and its text is no JSON object with fields: leave #key out")]
    NoFields(cutover_core::Reference),
    /// The field is no text.
    #[error("{0}: the field is neither a text nor a number")]
    OtherField(cutover_core::Reference),
}

impl Error {
    /// Whether the same may go better later, with nobody mending anything here.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Vault { source, .. } => source.retryable(),
            Self::Aws { source, .. } => source.retryable(),
            Self::Unset(_)
            | Self::Empty(_)
            | Self::NotText(_)
            | Self::NotAFile(_)
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::Command { .. }
            | Self::NotHere(_)
            | Self::Persons(_)
            | Self::NotGiven { .. }
            | Self::NoKey
            | Self::Key { .. }
            | Self::MalformedKey { .. }
            | Self::Sealed { .. }
            | Self::NotAllowed(_)
            | Self::Allowance(_)
            | Self::NoField(_)
            | Self::NoFields(_)
            | Self::OtherField(_) => false,
        }
    }
}
