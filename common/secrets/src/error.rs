//! Why a secret has no value. No message holds one.

use std::path::PathBuf;

/// A reason why a reference could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable is not set.
    #[error("env://{0}: the variable is not set in the environment of this program")]
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
    /// The file is too large to be a secret.
    #[error("file://{}: larger than {limit} bytes, which no secret is", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
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
}
