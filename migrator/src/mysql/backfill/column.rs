//! A column of a key: how its values are written down, and stand in SQL.

/// The columns of a table.
pub(super) const COLUMNS: &str = "SELECT column_name, data_type, is_nullable, character_set_name, collation_name \
    FROM information_schema.columns WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?";

/// A row of [`COLUMNS`].
type Row = (String, String, String, Option<String>, Option<String>);

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    kind: Kind,
    nullable: bool,
}

/// What its values are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Whole or decimal numbers.
    Number,
    /// Text in a character set, ordered by a collation.
    Text { charset: String, collation: String },
    /// Bytes.
    Bytes,
    /// A day, or a time; as a type of SQL.
    Time(&'static str),
    /// MariaDB's `uuid`.
    Uuid,
    /// What equals or orders its values otherwise than their text does.
    Other(String),
}

impl Column {
    /// The column that a row of [`COLUMNS`] is.
    pub(super) fn of((name, data_type, nullable, charset, collation): Row) -> Self {
        let kind = match (data_type.to_ascii_lowercase().as_str(), charset, collation) {
            ("tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year", ..) => {
                Kind::Number
            }
            (
                "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext",
                Some(charset),
                Some(collation),
            ) => Kind::Text { charset, collation },
            ("binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob", ..) => Kind::Bytes,
            ("date", ..) => Kind::Time("DATE"),
            ("datetime", ..) => Kind::Time("DATETIME"),
            ("timestamp", ..) => Kind::Time("TIMESTAMP"),
            ("uuid", ..) => Kind::Uuid,
            (other, ..) => Kind::Other(other.to_owned()),
        };
        Self { name, kind, nullable: nullable != "NO" }
    }

    #[cfg(test)]
    pub(super) fn number(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Number, nullable: false }
    }

    /// Whether it is called `name`. Names of columns have no upper and lower case (MySQL's manual, 11.2.3).
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Why a table can't be walked along it.
    pub(super) fn unfit(&self) -> Option<String> {
        if let Kind::Other(kind) = &self.kind {
            return Some(format!("its column {} is a {kind}, whose values can't be walked along", self.name));
        }
        self.nullable
            .then(|| format!("its column {} may be NULL, and rows without it would be left out", self.name))
    }

    /// Its name, quoted.
    pub(super) fn quoted(&self) -> String {
        format!("`{}`", self.name.replace('`', "``"))
    }

    /// What it is.
    pub(super) fn describe(&self) -> String {
        let kind = match &self.kind {
            Kind::Number => "number",
            Kind::Text { collation, .. } => collation,
            Kind::Bytes => "bytes",
            Kind::Time(kind) => kind,
            Kind::Uuid => "uuid",
            Kind::Other(kind) => kind,
        };
        format!("{} {kind}", self.quoted())
    }

    /// Whether the session's zone has a say in its values.
    pub(super) fn has_zone(&self) -> bool {
        self.kind == Kind::Time("TIMESTAMP")
    }

    /// The expression for a value of it in `alias` as it is written down: hex digits of what has letters, without commas in any
    /// case.
    pub(super) fn text(&self, alias: &str) -> String {
        let column = format!("{alias}.{}", self.quoted());
        match self.kind {
            Kind::Text { .. } | Kind::Bytes => format!("HEX({column})"),
            _ => format!("CAST({column} AS CHAR)"),
        }
    }

    /// A value that was written down so, as it stands in SQL. What isn't of its form, which nobody but us has written, is NULL:
    /// it compares with nothing.
    pub(super) fn constant(&self, value: &str) -> String {
        let only = |allowed: fn(char) -> bool| value.chars().all(allowed);
        let fits = match &self.kind {
            Kind::Number => !value.is_empty() && only(|c| c.is_ascii_digit() || "-.".contains(c)),
            Kind::Text { .. } | Kind::Bytes => only(|c| c.is_ascii_hexdigit()),
            Kind::Time(_) | Kind::Uuid => only(|c| c.is_ascii_alphanumeric() || "-:. ".contains(c)),
            Kind::Other(_) => false,
        };
        match &self.kind {
            _ if !fits => "NULL".to_owned(),
            Kind::Text { charset, collation } => format!("_{charset} x'{value}' COLLATE {collation}"),
            Kind::Bytes => format!("x'{value}'"),
            Kind::Time("DATE") => format!("DATE '{value}'"),
            Kind::Time(_) => format!("TIMESTAMP '{value}'"),
            Kind::Uuid => format!("'{value}'"),
            Kind::Number | Kind::Other(_) => value.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: &str) -> Column {
        let (charset, collation) = ("utf8mb4".to_owned(), "utf8mb4_general_ci".to_owned());
        Column::of(("a`b".to_owned(), kind.to_owned(), "NO".to_owned(), Some(charset), Some(collation)))
    }

    #[test]
    fn values_stand_in_sql_as_what_they_are() {
        for (kind, value, constant) in [
            ("bigint", "-7", "-7"),
            ("varchar", "C3A9", "_utf8mb4 x'C3A9' COLLATE utf8mb4_general_ci"),
            ("varchar", "", "_utf8mb4 x'' COLLATE utf8mb4_general_ci"),
            ("binary", "00FF", "x'00FF'"),
            ("date", "2024-01-31", "DATE '2024-01-31'"),
            ("timestamp", "2024-01-31 01:02:03.000004", "TIMESTAMP '2024-01-31 01:02:03.000004'"),
            ("uuid", "8a5e-00", "'8a5e-00'"),
        ] {
            assert_eq!(column(kind).constant(value), constant);
        }
        assert_eq!(column("varchar").text("p"), "HEX(p.`a``b`)");
    }

    #[test]
    fn what_is_not_a_value_of_a_column_never_stands_in_sql() {
        for (kind, value) in
            [("int", "1 OR 1"), ("int", ""), ("varchar", "41'"), ("datetime", "'; DROP TABLE t; --")]
        {
            assert_eq!(column(kind).constant(value), "NULL", "{kind}");
        }
    }

    #[test]
    fn what_orders_otherwise_is_no_key() {
        assert!(column("double").unfit().is_some() && column("enum").unfit().is_some());
        assert_eq!(column("int").unfit(), None);
    }
}
