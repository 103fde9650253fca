//! Changes of a schema as they are meant, whatever statements they take.

use crate::Place;

/// A change of a schema, and where it is declared. Tables, columns, types and expressions are as they stand in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is changed.
    pub change: Change,
    /// Where it is declared.
    pub place: Place,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new column.
    AddColumn {
        /// Its table.
        table: String,
        /// The column.
        column: Column,
        /// What the rows that are there get, where there is no default.
        fill: Option<String>,
    },
    /// A column gets another name.
    RenameColumn {
        /// Its table.
        table: String,
        /// Its name until now.
        from: String,
        /// The column as it will be.
        to: Column,
    },
    /// A column gets another type, under another name: under the same, prepared statements of the version that serves would fail.
    ChangeType {
        /// Its table.
        table: String,
        /// Its name until now.
        from: String,
        /// The column as it will be.
        to: Column,
        /// Its type until now, which MySQL wants repeated.
        was: Option<String>,
        /// The new value, of the old column.
        using: String,
        /// The old value, of the new column.
        back: String,
    },
    /// A column becomes several.
    Split {
        /// Its table.
        table: String,
        /// The column.
        from: String,
        /// Its type, which MySQL wants repeated.
        was: Option<String>,
        /// What it becomes: each column, and its value, of the old column.
        into: Vec<(Column, String)>,
        /// The old value, of the new columns.
        back: String,
    },
    /// A new index.
    AddIndex {
        /// Its table.
        table: String,
        /// Its name; without one, made of the table's and the columns'.
        name: Option<String>,
        /// Its columns or expressions.
        columns: Vec<String>,
        /// Whether no two rows may have the same.
        unique: bool,
        /// Which rows are in it, where not all are.
        only: Option<String>,
    },
    /// A new foreign key.
    AddForeignKey {
        /// Its table.
        table: String,
        /// Its name; without one, made of the table's and the columns'.
        name: Option<String>,
        /// Its columns.
        columns: Vec<String>,
        /// The other table.
        references: String,
        /// The columns there.
        key: Vec<String>,
        /// What becomes of a row whose other one is deleted, as it stands in SQL behind `ON DELETE`.
        on_delete: Option<String>,
    },
    /// A condition that each row must meet.
    AddCheck {
        /// The table.
        table: String,
        /// Its name.
        name: String,
        /// The condition.
        condition: String,
    },
    /// A column must have a value.
    SetNotNull {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
        /// Its type, which MySQL wants repeated.
        kind: Option<String>,
        /// What the rows that have none get.
        fill: Option<String>,
    },
    /// A column goes.
    DropColumn {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
    },
    /// A table goes.
    DropTable {
        /// Its name.
        table: String,
    },
    /// A table gets another name.
    RenameTable {
        /// Its name until now.
        table: String,
        /// Its name from then on, in the same schema.
        to: String,
    },
}

/// A column that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its default.
    pub default: Option<String>,
    /// Whether it must have a value.
    pub not_null: bool,
}
