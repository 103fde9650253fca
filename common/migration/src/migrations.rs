//! The migrations of a release, in their order.

use cutover_core::Phase;

use crate::{InvalidMigration, Migration};

/// Migrations in the order of their phases, versions and parts. A version is one in each phase at most, and has the same
/// name in all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// Puts `migrations` in order.
    ///
    /// # Errors
    /// When two files are the same phase of one version, or give it two names.
    pub fn new(mut migrations: Vec<Migration>) -> Result<Self, InvalidMigration> {
        let files =
            |first: &Migration, second: &Migration| (first.file().to_owned(), second.file().to_owned());
        migrations.sort_by_key(|migration| (migration.version(), migration.phase(), migration.part()));
        for pair in migrations.windows(2) {
            if let [one, other] = pair
                && one.version() == other.version()
            {
                let (first, second) = files(one, other);
                if one.phase() == other.phase() && one.part() == other.part() {
                    return Err(InvalidMigration::SameVersion { first, second });
                }
                if one.name() != other.name() {
                    return Err(InvalidMigration::OtherName { first, second });
                }
            }
        }
        migrations.sort_by_key(|migration| (migration.phase(), migration.version(), migration.part()));
        Ok(Self(migrations))
    }

    /// All of them: phase by phase, in each the lowest version first.
    pub fn iter(&self) -> std::slice::Iter<'_, Migration> {
        self.0.iter()
    }

    /// Those of a phase, the lowest version first.
    pub fn of(&self, phase: Phase) -> impl Iterator<Item = &Migration> {
        self.0.iter().filter(move |migration| migration.phase() == phase)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Digest, Engine, MigrationFile};

    use super::*;

    fn read(version: &str, name: &str, phase: Phase) -> Vec<Migration> {
        let sql = "SELECT 1;\n-- cutover: part\nSELECT 2";
        let file =
            MigrationFile { phase, ..MigrationFile::expand(version, name, Digest::of(sql.as_bytes())) };
        Migration::read(&file, sql, Engine::Postgresql).unwrap()
    }

    #[test]
    fn migrations_are_ordered_by_phase_number_and_part() {
        let files =
            [("10", Phase::Expand), ("9", Phase::Contract), ("9", Phase::Expand), ("011", Phase::Expand)];
        let all = files.into_iter().flat_map(|(version, phase)| read(version, "a", phase)).collect();
        let ordered = Migrations::new(all).unwrap();
        let titles: Vec<&str> = ordered.iter().map(Migration::file).collect();
        let expected = [
            "9_a (part 1)",
            "9_a (part 2)",
            "10_a (part 1)",
            "10_a (part 2)",
            "011_a (part 1)",
            "011_a (part 2)",
            "9_a.contract (part 1)",
            "9_a.contract (part 2)",
        ];
        assert_eq!(titles, expected);
        assert_eq!(ordered.of(Phase::Contract).count(), 2);
    }

    #[test]
    fn a_version_is_one_and_has_one_name() {
        let both = |one: Vec<Migration>, other: Vec<Migration>| Migrations::new([one, other].concat());
        let same = both(read("1", "a", Phase::Expand), read("001", "a", Phase::Expand));
        assert!(matches!(same, Err(InvalidMigration::SameVersion { .. })));
        let other = both(read("1", "a", Phase::Expand), read("1", "b", Phase::Contract));
        assert!(matches!(other, Err(InvalidMigration::OtherName { .. })));
    }
}
