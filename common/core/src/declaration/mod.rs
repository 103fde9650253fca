//! A migration that is declared: the operations that a `VERSION_name.yaml` lists. Text in, operations out.

mod operation;
mod read;

pub use operation::{Change, Column, Operation};

use crate::Problem;
use crate::deploy_file::error::{Problems, Report};
use crate::deploy_file::node::{self, Form};
use crate::deploy_file::section::Section;

/// What a declaration is.
const FORM: Form = Form {
    shortest: "the shortest one that works is `operations: [{drop_table: {table: <name>}}]`",
    single: "a migration is one: a list of operations",
};

/// The operations that a migration is made of, in order; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The operations.
    pub operations: Vec<Operation>,
}

/// A declaration that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Report { file, problems })]
pub struct InvalidDeclaration {
    /// The file's name.
    pub file: String,
    /// All that was found, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Declaration {
    /// Reads the text of a declaration. `file` is its name in front of people.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, InvalidDeclaration> {
        let mut problems = Problems::default();
        let operations = Self::read(text, &mut problems);
        match operations {
            Some(operations) if problems.is_empty() => Ok(Self { operations }),
            _ => Err(InvalidDeclaration { file: file.to_owned(), problems: problems.into_list(text) }),
        }
    }

    fn read(text: &str, problems: &mut Problems) -> Option<Vec<Operation>> {
        let root = node::parse(text, FORM, problems)?;
        let mut section = Section::of(String::new(), &root, problems)?;
        if section.lacks("operations") {
            problems.add(Problem::new("operations", None, "missing").hint(FORM.shortest));
        }
        let items = section.list("operations", problems);
        section.done(problems);
        let items = items?;
        if items.is_empty() {
            problems.add(Problem::new("operations", None, "there is none").hint(FORM.shortest));
        }
        Some(items.into_iter().filter_map(|(path, item)| read::operation(path, item, problems)).collect())
    }

    /// An error of this declaration: `message` about the operation at `place`, and what to do about it.
    pub fn refuse(
        text: &str,
        file: &str,
        problems: Vec<(crate::Place, String, String)>,
    ) -> InvalidDeclaration {
        let mut found = Problems::default();
        for (place, message, hint) in problems {
            found.add(Problem::new("", place, message).hint(hint));
        }
        InvalidDeclaration { file: file.to_owned(), problems: found.into_list(text) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Declaration::parse(text, "7_a.yaml").unwrap_err().to_string()
    }

    #[test]
    fn operations_are_read_in_order() {
        let text = "
operations:
  - add_column: {table: app.users, column: email, type: varchar(200), default: \"''\", not_null: true}
  - split:
      table: users
      column: name
      back: first || ' ' || last
      into:
        - {column: first, type: text, using: \"split_part(name, ' ', 1)\"}
        - {column: last, type: text, using: \"split_part(name, ' ', 2)\"}
  - add_index: {table: users, columns: [first, lower(last)], unique: true}
  - add_foreign_key: {table: posts, columns: user_id, references: users, key: id}
";
        let declaration = Declaration::parse(text, "7_a.yaml").unwrap();
        let lines: Vec<usize> = declaration.operations.iter().map(|operation| operation.place.line).collect();
        assert_eq!(lines, [3, 4, 11, 12]);
        let Some(Change::Split { into, .. }) = declaration.operations.get(1).map(|one| &one.change) else {
            panic!("{declaration:?}")
        };
        assert_eq!(into.last().unwrap().1, "split_part(name, ' ', 2)");
    }

    #[test]
    fn a_type_says_what_values_there_are_and_nothing_else() {
        for kind in [
            "numeric(10, 2)",
            "timestamp(3) with time zone",
            "text[]",
            "enum('a, b', 'NOT')",
            "\\\"unique\\\"",
            "app.default_kind",
            "varchar(20) CHARACTER SET utf8mb4",
        ] {
            let text = format!("operations:\n  - add_column: {{table: a, column: b, type: \"{kind}\"}}\n");
            assert!(Declaration::parse(&text, "7_a.yaml").is_ok(), "{kind}");
        }
        for (kind, told) in [
            ("bigserial", "nextval"),
            ("uuid DEFAULT gen_random_uuid()", "`default`"),
            ("int GENERATED ALWAYS AS (a * 2) STORED", "`fill`"),
            ("int as (a * 2)", "`fill`"),
            ("int UNIQUE", "add_index"),
            ("int PRIMARY KEY", "set_not_null"),
            ("int references other", "add_foreign_key"),
            ("int CHECK (b > 0)", "add_check"),
            ("int CONSTRAINT c CHECK (b > 0)", "add_check"),
            ("int NOT NULL", "not_null: true"),
            ("int, DROP COLUMN legacy", "a comma"),
            ("int), (b int", "outside of its parentheses"),
            ("int; DROP TABLE a", "has a ;"),
        ] {
            let message =
                refused(&format!("operations:\n  - add_column: {{table: a, column: b, type: \"{kind}\"}}\n"));
            assert!(message.contains("7_a.yaml:2:") && message.contains(told), "{message}");
        }
        let message =
            refused("operations:\n  - set_not_null: {table: a, column: b, type: \"int, DROP COLUMN c\"}\n");
        assert!(message.contains("set_not_null.type: it has a comma"), "{message}");
        for text in [
            "{table: a, column: b, type: int, default: \"0, DROP COLUMN c\"}",
            "{table: a, column: b, type: int, default: \"0) + (1\"}",
        ] {
            let message = refused(&format!("operations:\n  - add_column: {text}\n"));
            assert!(message.contains("add_column.default: it has a comma"), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_was_meant() {
        let message = refused("operations:\n  - add_colum: {table: users}\n");
        assert!(message.contains("7_a.yaml:2:5: operations[0].add_colum: unknown key"), "{message}");
        assert!(message.contains("did you mean 'add_column'?"), "{message}");
        let message = refused("operations:\n  - drop_column: {table: a b}\n");
        assert!(
            message.contains("column: missing") && message.contains("'a b' is not a table's name"),
            "{message}"
        );
        let message =
            refused("operations:\n  - add_column: {table: a, column: b, type: int, not_null: true}\n");
        assert!(message.contains("no value for the rows") && message.contains("add `default`"), "{message}");
        let message =
            refused("operations:\n  - {drop_table: {table: a}, drop_column: {table: b, column: c}}\n");
        assert!(message.contains("expected one operation, found 2"), "{message}");
        let message =
            refused("operations:\n  - add_check: {table: a, name: b, check: \"c; DROP TABLE d\"}\n");
        assert!(message.contains("has a ; or a comment"), "{message}");
        for text in ["", "- drop_table: {table: a}", "operations: []", "operation: []"] {
            assert!(refused(text).contains("operations"), "{text}");
        }
    }
}
