//! Why a file is no migration.

use cutover_core::{Digest, Engine};

use crate::backfill::InvalidBackfill;
use crate::header::InvalidHeader;
use crate::lint::InvalidAllow;
use crate::{InvalidFileName, InvalidVersion};

/// A file that is no migration. Every message names the file, and the line where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMigration {
    /// The file's name can't be read.
    #[error("migration {file}")]
    Name {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidFileName,
    },
    /// The version can't be read.
    #[error("migration {file}")]
    Version {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidVersion,
    },
    /// Its content isn't what the release pins.
    #[error(
        "migration {file}: its content is {found}, the release pins {pinned}; deploy again to pin what is there now"
    )]
    Content {
        /// The file.
        file: String,
        /// The digest of what was read.
        found: Digest,
        /// The digest that the release names.
        pinned: Digest,
    },
    /// It is no text.
    #[error("migration {file}: it is not UTF-8 text")]
    Encoding {
        /// The file.
        file: String,
    },
    /// A header can't be used.
    #[error("migration {file}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidHeader,
    },
    /// An override can't be used.
    #[error("migration {file}")]
    Allow {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidAllow,
    },
    /// It is no backfill that can be run in batches.
    #[error("migration {file}")]
    Backfill {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidBackfill,
    },
    /// Its parts don't agree on when they run.
    #[error(
        "migration {file}, line {line}: '-- cutover: before=switch' is said of one part and not of another; a file runs before the switch or after it"
    )]
    Torn {
        /// The file.
        file: String,
        /// The line of the first part that differs from the first, from 1.
        line: usize,
    },
    /// It begins or ends a transaction.
    #[error(
        "migration {file}, line {line}: remove this transaction control; each migration runs in a transaction of its own, with its entry in the ledger"
    )]
    TransactionControl {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It copies over the connection.
    #[error(
        "migration {file}, line {line}: COPY over the connection has no data to read in a migration; write INSERT, or COPY from a file of the server"
    )]
    CopyOverConnection {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It has a comment that is executed.
    #[error(
        "migration {file}, line {line}: a comment that is executed (/*! … */) depends on the server's version; write the statement itself"
    )]
    ExecutableComment {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It has a command of MySQL's client.
    #[error(
        "migration {file}, line {line}: DELIMITER is a command of the client and not needed here: a body ends with its END"
    )]
    Delimiter {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It sets what the ledger couldn't do without.
    #[error(
        "migration {file}, line {line}: remove this SET: {what} would be set for the ledger of migrations, too, which must be written by the same user and come to all replicas"
    )]
    Setting {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What it sets.
        what: &'static str,
    },
    /// It has no statement.
    #[error("migration {0}: there is no statement in it")]
    Empty(String),
    /// One of its parts has no statement.
    #[error("migration {file}, line {line}: there is no statement in this part")]
    EmptyPart {
        /// The file.
        file: String,
        /// The line that the part begins in, from 1.
        line: usize,
    },
    /// It asks to run outside a transaction and isn't what may.
    #[error(
        "migration {file}, line {line}: with transaction=off a part holds one statement that can be found again after a kill: a named CREATE INDEX CONCURRENTLY, DROP INDEX CONCURRENTLY, or REINDEX of an index or a table CONCURRENTLY; '-- cutover: part' separates parts"
    )]
    OutsideTransaction {
        /// The file.
        file: String,
        /// The line of the first statement that may not, from 1.
        line: usize,
    },
    /// It needs to run outside a transaction and doesn't say so.
    #[error(
        "migration {file}, line {line}: CONCURRENTLY can't be in a transaction; put '-- cutover: part' and '-- cutover: transaction=off' above it, and '-- cutover: part' below"
    )]
    InTransaction {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It asks to run outside a transaction where that is not for it to say.
    #[error(
        "migration {file}, line {line}: 'transaction' is for PostgreSQL; on {} each statement is a part of its own, as the server commits every change of the schema by itself", engine.as_str()
    )]
    NoTransactions {
        /// The file.
        file: String,
        /// The line of the header, from 1.
        line: usize,
        /// What it is for.
        engine: Engine,
    },
    /// Another file has the same version.
    #[error("migrations {first} and {second} have the same version; rename one")]
    SameVersion {
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// Another phase of the version has another name.
    #[error(
        "migrations {first} and {second} are phases of one version and have different names; give them the same"
    )]
    OtherName {
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
}
