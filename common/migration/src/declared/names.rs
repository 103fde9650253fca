//! The names of what is made for a while, and of what nobody has named.

/// The longest name that all servers take: PostgreSQL's limit in bytes (manual, 4.1.1); MySQL's is 64.
const LONGEST: usize = 63;

/// What a migration makes for a while: one name for each of its operations.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// The migration's version.
    pub(super) version: &'a str,
    /// The number of the operation in it, from 1.
    pub(super) number: usize,
}

impl Names<'_> {
    /// The name in any schema.
    pub(super) fn bare(self) -> String {
        format!("cutover_{}_{}", self.version, self.number)
    }

    /// The name of a trigger. PostgreSQL fires them by their names (manual, 39.1): this one sees what the application's own have
    /// made of the row.
    pub(super) fn last(self) -> String {
        format!("zzz_{}", self.bare())
    }

    /// The name in the schema of `table`.
    pub(super) fn beside(self, table: &str) -> String {
        beside(table, &self.bare())
    }
}

/// `name` in the schema of `table`.
pub(super) fn beside(table: &str, name: &str) -> String {
    table.rsplit_once('.').map_or_else(|| name.to_owned(), |(schema, _)| format!("{schema}.{name}"))
}

/// The name of a table without its schema.
pub(super) fn unqualified(table: &str) -> &str {
    table.rsplit_once('.').map_or(table, |(_, name)| name)
}

/// A name made of a table's and its columns', as people make them.
pub(super) fn made_of(table: &str, columns: &[String], suffix: &str) -> String {
    let mut name = String::new();
    for text in std::iter::once(unqualified(table)).chain(columns.iter().map(String::as_str)) {
        for word in
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
        {
            name.push_str(&word.to_ascii_lowercase());
            name.push('_');
        }
    }
    name.truncate(LONGEST - suffix.len());
    name + suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_people_make_them() {
        let columns = ["lower(\"Name\")".to_owned(), "age".to_owned()];
        assert_eq!(made_of("app.\"Users\"", &columns, "idx"), "users_lower_name_age_idx");
        assert_eq!(made_of(&"a".repeat(80), &[], "fkey").len(), LONGEST);
        let names = Names { version: "0007", number: 2 };
        assert_eq!(
            (names.beside("app.users"), names.beside("users")),
            ("app.cutover_0007_2".into(), "cutover_0007_2".into())
        );
    }
}
