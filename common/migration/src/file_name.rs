//! What a file's name in the folder of migrations says.

use cutover_core::Phase;

/// What the name of a migration's file says: `VERSION_name.sql`, `VERSION_name.PHASE.sql`, `VERSION_name.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// The digits in front, as written.
    pub version: String,
    /// What stands between them and the first dot.
    pub name: String,
    /// What is in it.
    pub form: Form,
}

/// What is in a migration's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The SQL of one phase; without one in the name, of the first.
    Sql(Phase),
    /// Operations that the SQL of all phases is written from.
    Declaration,
}

/// A file's name that looks like a migration's and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFileName {
    /// It has no version, or no name.
    #[error("its name must be digits, _ and a name, as in 0001_add_users.sql")]
    Parts,
    /// What stands before `.sql` is no phase.
    #[error(
        "'{0}' is no phase: a name has no dots but that of its phase, one of .expand.sql, .backfill.sql, .contract.sql"
    )]
    Phase(String),
    /// It ends in `.yml`, which is not looked for.
    #[error("operations stand in a file that ends in .yaml: rename it")]
    Ending,
    /// Rails would refuse it.
    #[error(
        "Rails takes digits, _ and a name of small letters, digits and _, as in 20260102030405_add_name.rb"
    )]
    Rails,
}

impl FileName {
    /// Reads the name of a file, without its folder. None: it ends neither in `.sql` nor in `.yaml`, and is no migration.
    ///
    /// # Errors
    /// It ends so, and its version, its name or its phase can't be read.
    pub fn read(file: &str) -> Result<Option<Self>, InvalidFileName> {
        let (stem, form) = match file.rsplit_once('.') {
            Some((stem, "sql")) => (stem, Form::Sql(Phase::Expand)),
            Some((stem, "yaml")) => (stem, Form::Declaration),
            Some((_, "yml")) => return Err(InvalidFileName::Ending),
            _ => return Ok(None),
        };
        let (version, rest) = stem.split_once('_').ok_or(InvalidFileName::Parts)?;
        let (name, form) = match (rest.split_once('.'), form) {
            (None, form) => (rest, form),
            (Some((name, phase)), Form::Sql(_)) => {
                let known = Phase::ALL.into_iter().find(|known| known.as_str() == phase);
                (name, Form::Sql(known.ok_or_else(|| InvalidFileName::Phase(phase.to_owned()))?))
            }
            (Some((_, rest)), Form::Declaration) => return Err(InvalidFileName::Phase(rest.to_owned())),
        };
        if name.is_empty() || version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidFileName::Parts);
        }
        Ok(Some(Self { version: version.to_owned(), name: name.to_owned(), form }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_version_name_and_phase() {
        let read = |file: &str| FileName::read(file).map(|name| name.map(|n| (n.version, n.name, n.form)));
        let is = |version: &str, name: &str, phase| Ok(Some((version.to_owned(), name.to_owned(), phase)));
        assert_eq!(read("0001_add_users.sql"), is("0001", "add_users", Form::Sql(Phase::Expand)));
        assert_eq!(read("1_a.expand.sql"), is("1", "a", Form::Sql(Phase::Expand)));
        assert_eq!(read("1_a.backfill.sql"), is("1", "a", Form::Sql(Phase::Backfill)));
        assert_eq!(read("1_a.contract.sql"), is("1", "a", Form::Sql(Phase::Contract)));
        assert_eq!(read("1_a.yaml"), is("1", "a", Form::Declaration));
        assert_eq!(read("README.md"), Ok(None));
    }

    #[test]
    fn a_name_that_would_be_misread_is_refused() {
        for file in ["users.sql", "1.sql", "1_.sql", "a1_users.sql", "1-users.sql", ".sql", "1_.contract.sql"]
        {
            assert_eq!(FileName::read(file), Err(InvalidFileName::Parts), "{file}");
        }
        for file in
            ["1_a.contrct.sql", "1_a.b.contract.sql", "1_a.Contract.sql", "1_a..sql", "1_a.expand.yaml"]
        {
            assert!(matches!(FileName::read(file), Err(InvalidFileName::Phase(_))), "{file}");
        }
        assert_eq!(FileName::read("1_a.yml"), Err(InvalidFileName::Ending));
    }
}
