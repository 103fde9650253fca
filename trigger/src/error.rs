//! Why the program can't do its work.

use std::net::SocketAddr;
use std::path::PathBuf;

use cutover_core::SourceName;
use cutover_core::tree::FileError;

/// A reason why it ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("{} can't be read: {source}; CUTOVER_TRIGGERS names the file that says who may ask for what", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What stands in it is wrong.
    #[error(transparent)]
    Triggers(#[from] FileError),
    /// A secret has no value.
    #[error("the secret of source {source_name} has no value")]
    Secret {
        /// Of which source.
        source_name: SourceName,
        /// Why.
        source: Box<cutover_secrets::Error>,
    },
    /// A secret that can be guessed, or is none.
    #[error("the secret of source {source_name} is not used: {why}")]
    WeakSecret {
        /// Of which source.
        source_name: SourceName,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The address can't be listened on.
    #[error("hooks can't be served at {address}: {source}; CUTOVER_TRIGGER_LISTEN names the address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Metrics could not be made.
    #[error(transparent)]
    Telemetry(#[from] cutover_telemetry::Error),
    /// What all programs have in common failed.
    #[error(transparent)]
    Program(#[from] cutover_program::Error),
}
