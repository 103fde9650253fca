//! Why there is nothing to be had from a Vault. No message holds a value, or a credential.

use std::io;
use std::path::PathBuf;

/// A reason why a secret can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing says where it is.
    #[error("VAULT_ADDR isn't set in the environment of this program: the URL of Vault or OpenBao")]
    NoAddress,
    /// What should say where it is doesn't.
    #[error("VAULT_ADDR is no http:// or https:// URL of a server")]
    Address,
    /// A setting that can't be used.
    #[error("{0} has a character that can't stand there")]
    Setting(&'static str),
    /// Nothing says how it is entered.
    #[error(
        "this program has nothing to log in with: set VAULT_TOKEN, VAULT_TOKEN_FILE, VAULT_ROLE_ID, VAULT_JWT_FILE, or VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"
    )]
    NoCredential,
    /// A file with what this program logs in with has none.
    #[error("{variable} names a file that can't be used")]
    CredentialFile {
        /// The variable.
        variable: &'static str,
        /// Why not.
        #[source]
        source: Box<crate::Error>,
    },
    /// A file with certificates, or a key, can't be used.
    #[error("{variable} names {}, which can't be used", path.display())]
    File {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There can be no TLS with what was given.
    #[error("there can be no TLS with the certificates that this program has")]
    Tls(#[source] rustls::Error),
    /// It can't be reached, or broke off.
    #[error("{server} can't be reached")]
    Unreachable {
        /// Its URL.
        server: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It didn't answer.
    #[error("{server} did not answer within {seconds} s")]
    Silent {
        /// Its URL.
        server: String,
        /// The limit.
        seconds: u64,
    },
    /// It is sealed: it has no key to its own store.
    #[error("{server} is sealed: unseal it")]
    Sealed {
        /// Its URL.
        server: String,
    },
    /// It can't answer now.
    #[error("{server} can't answer now: status {status}{said}")]
    Busy {
        /// Its URL.
        server: String,
        /// HTTP's status.
        status: u16,
        /// What it said.
        said: Said,
    },
    /// It sends elsewhere, where no token is taken.
    #[error(
        "{server} sends to another server, and no token is sent there: set VAULT_ADDR to the one that is active"
    )]
    Redirected {
        /// Its URL.
        server: String,
    },
    /// It doesn't take what this program logs in with.
    #[error("{server} refused the login at auth/{mount} with status {status}{said}")]
    LoginRefused {
        /// Its URL.
        server: String,
        /// Where the method is mounted.
        mount: String,
        /// HTTP's status.
        status: u16,
        /// What it said.
        said: Said,
    },
    /// The token is not, or no longer, one of its own.
    #[error("{server} doesn't know the token of this program, or no longer: it has expired or was revoked")]
    InvalidToken {
        /// Its URL.
        server: String,
    },
    /// The policies don't allow it.
    #[error("permission denied: a policy must allow `read` on {path}")]
    Forbidden {
        /// The path in a policy.
        path: String,
    },
    /// There is nothing.
    #[error("there is nothing at {path}{}", if *version { ", or not in that version" } else { "" })]
    Missing {
        /// The path of the API.
        path: String,
        /// Whether a version was asked for.
        version: bool,
    },
    /// The version was deleted.
    #[error("version {version} of {path} was {}", if *destroyed { "destroyed" } else { "deleted; `vault kv undelete` brings it back" })]
    Deleted {
        /// The path of the API.
        path: String,
        /// The version.
        version: u64,
        /// Whether it is gone for good.
        destroyed: bool,
    },
    /// What is mounted there keeps no keys and values.
    #[error("{mount} is no key-value store, but of type {kind}")]
    OtherEngine {
        /// The mount.
        mount: String,
        /// What it is.
        kind: String,
    },
    /// The store has no versions.
    #[error("{mount} is of version 1, which keeps no versions of a secret: leave ?version= out")]
    NoVersions {
        /// The mount.
        mount: String,
    },
    /// It refused for another reason.
    #[error("{server} refused {path} with status {status}{said}")]
    Refused {
        /// Its URL.
        server: String,
        /// The path of the API.
        path: String,
        /// HTTP's status.
        status: u16,
        /// What it said.
        said: Said,
    },
    /// The answer can't be understood, or is too large.
    #[error("what {server} answers for {path} can't be understood, or is too large")]
    Answer {
        /// Its URL.
        server: String,
        /// The path of the API.
        path: String,
    },
}

/// What a server gave for a reason, in brackets; nothing where it gave none.
#[derive(Debug, Default)]
pub struct Said(pub(super) Vec<String>);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let text = self.0.join("; ");
        // Errors of several causes are lists on lines of their own.
        let words: Vec<_> = text.split_whitespace().collect();
        write!(f, " ({})", words.join(" ").chars().take(300).collect::<String>())
    }
}

impl Error {
    /// Whether the same may go better later, with nobody mending anything here.
    pub const fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Sealed { .. }
                | Self::Busy { .. }
                | Self::Redirected { .. }
        )
    }
}
