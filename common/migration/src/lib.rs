//! What a migration is: its files and their phases, their headers, what their SQL consists of, and what has no place in it.
//! Pure: it knows of no database and reads no file.

mod backfill;
mod concurrent;
mod declared;
mod definition;
mod directive;
mod file_name;
mod header;
mod invalid;
pub mod lint;
mod migration;
mod migrations;
mod rails;
mod setting;
mod statement;
mod token;
mod version;

pub use backfill::{Backfill, InvalidBackfill};
pub use concurrent::{ConcurrentIndex, DroppedIndex, Reindexed};
pub use declared::Compiled;
pub use definition::{Definition, Mark, Member, Name, Outcome, Thing};
pub use file_name::{FileName, Form, InvalidFileName};
pub use header::InvalidHeader;
pub use invalid::InvalidMigration;
pub use migration::{Kind, Migration};
pub use migrations::Migrations;
pub use rails::RailsFile;
pub use setting::settings;
pub use statement::{Forbidden, Statement, statements};
pub use token::{Token, TokenKind};
pub use version::{InvalidVersion, Version};
