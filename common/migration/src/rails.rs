//! What a migration of a Rails application is, as far as its file says.

use cutover_core::Phase;

use crate::{InvalidFileName, Version};

/// What the file of a migration of Rails says: `VERSION_name.rb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailsFile {
    /// The digits in front of its name.
    pub version: Version,
    /// What stands behind them.
    pub name: String,
    /// When it runs.
    pub phase: Phase,
}

impl RailsFile {
    /// Reads the name of a file, without its folder, and looks into its text. What lies in `db/post_migrate` (`is_post`), or is
    /// tagged so (`tag :postdeploy`, of the gem Outrigger), is a contract; all else is applied before the switch. None: it is no
    /// migration, as Rails has it (`ActiveRecord::MigrationContext`).
    ///
    /// # Errors
    /// Rails would refuse the name.
    pub fn read(file: &str, text: &str, is_post: bool) -> Result<Option<Self>, InvalidFileName> {
        let Some(stem) =
            file.strip_suffix(".rb").filter(|stem| stem.starts_with(|c: char| c.is_ascii_digit()))
        else {
            return Ok(None);
        };
        let Some((version, rest)) = stem.split_once('_') else { return Ok(None) };
        // Behind a dot stands the engine that it was copied from.
        let name = rest.split_once('.').map_or(rest, |(name, _)| name);
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_valid = rest.split('.').count() <= 2 && rest.chars().all(|c| is_name(c) || c == '.');
        let version = version.parse().ok().filter(|_| is_valid && !name.is_empty());
        let version = version.ok_or(InvalidFileName::Rails)?;
        let is_tagged = || text.lines().any(|line| line.trim_start().starts_with("tag :postdeploy"));
        let phase = if is_post || is_tagged() { Phase::Contract } else { Phase::Expand };
        Ok(Some(Self { version, name: name.to_owned(), phase }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_folders_say_what_runs_when() {
        let read = |file: &str, text: &str, is_post| {
            let read = RailsFile::read(file, text, is_post).unwrap();
            read.map(|file| (file.version.to_string(), file.name, file.phase))
        };
        let is = |version: &str, name: &str, phase| Some((version.to_owned(), name.to_owned(), phase));
        let plain = "class AddName < ActiveRecord::Migration[6.1]\n";
        assert_eq!(
            read("20260102030405_add_name.rb", plain, false),
            is("20260102030405", "add_name", Phase::Expand)
        );
        assert_eq!(read("001_a.rb", plain, true), is("1", "a", Phase::Contract));
        assert_eq!(read("1_a.rb", "  tag :postdeploy\n", false), is("1", "a", Phase::Contract));
        assert_eq!(read("1_a.rb", "  # tag :postdeploy\n", false), is("1", "a", Phase::Expand));
        assert_eq!(read("1_a.active_storage.rb", plain, false), is("1", "a", Phase::Expand));
        for other in ["README.md", "helper.rb", "schema.rb", "1.rb"] {
            assert_eq!(read(other, plain, false), None, "{other}");
        }
        for refused in ["1_Add.rb", "1_.rb", "1x_a.rb", "1_a.b.c.rb", "1_a-b.rb"] {
            assert_eq!(RailsFile::read(refused, plain, false), Err(InvalidFileName::Rails), "{refused}");
        }
    }
}
