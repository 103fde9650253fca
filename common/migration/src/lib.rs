//! What a migration is: its file, its headers, what its SQL consists of, and what has no place in it. Pure: it knows of no
//! database and reads no file.

mod header;
mod index;
mod migration;
mod statement;
mod token;
mod version;

pub use header::{Header, InvalidHeader};
pub use index::ConcurrentIndex;
pub use migration::{InvalidMigration, Kind, Migration, Migrations};
pub use statement::{Forbidden, Statement, statements};
pub use token::{Token, TokenKind};
pub use version::{InvalidVersion, Version};
