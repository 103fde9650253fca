//! The key that a table is walked along, and ranges of it.

use cutover_migration::{Backfill, Migration};

use super::super::Session;
use crate::Error;

/// The columns of a key as they were asked for, or those of the primary key. Collations and the order within the index are
/// looked at because an index that orders otherwise is of no use for a range.
const COLUMNS: &str = "WITH given AS (SELECT n, (parse_ident(name))[1] AS name FROM unnest($2::text[]) WITH ORDINALITY AS u (name, n)), \
    wanted AS (SELECT g.n, g.name, a.attnum FROM given g LEFT JOIN pg_attribute a ON a.attrelid = to_regclass($1) \
    AND a.attname = g.name AND a.attnum > 0 AND NOT a.attisdropped \
    UNION ALL SELECT k.n, a.attname, a.attnum FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a \
    WHERE $2 IS NULL AND k.n <= i.indnkeyatts AND i.indisprimary AND i.indrelid = to_regclass($1) AND a.attrelid = i.indrelid AND a.attnum = k.attnum) \
    SELECT quote_ident(w.name) AS name, w.attnum, a.attnotnull, a.attcollation::int8 AS collation, \
    format_type(a.atttypid, -1) AS type FROM wanted w \
    LEFT JOIN pg_attribute a ON a.attrelid = to_regclass($1) AND a.attnum = w.attnum ORDER BY w.n";

/// Whether an index that leaves no row out begins with these columns, with their collations, all in one direction.
const INDEXED: &str = "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
    WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree' \
    AND array_to_string((i.indkey::int2[])[0:$2 - 1], ' ') = $3 \
    AND array_to_string((i.indcollation::oid[])[0:$2 - 1], ' ') = $4 \
    AND (SELECT count(DISTINCT o & 1) FROM unnest((i.indoption::int2[])[0:$2 - 1]) AS o) = 1)";

/// A column of a key.
#[derive(Debug, PartialEq, Eq)]
struct Column {
    /// Its name, quoted where needed.
    name: String,
    /// Its type, without a length.
    kind: String,
}

/// The key that a table is walked along.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    columns: Vec<Column>,
    /// The table with what the statement calls it.
    source: String,
    alias: String,
}

impl Key {
    /// The key of `backfill`.
    ///
    /// # Errors
    /// When the table isn't there, or can't be walked along the key so that no row is left out and no batch reads all of it.
    pub(super) async fn find(
        session: &Session,
        migration: &Migration,
        backfill: &Backfill,
    ) -> Result<Self, Error> {
        let table = &backfill.table;
        let unfit = |why: String| Error::Key { file: migration.file().to_owned(), table: table.clone(), why };
        let doing = "look at the key of a table";
        let exists = session.client().query_one("SELECT to_regclass($1) IS NOT NULL", &[table]).await;
        if !exists.and_then(|row| row.try_get::<_, bool>(0)).map_err(session.error(doing))? {
            return Err(unfit("there is no such table".to_owned()));
        }
        let rows = session.client().query(COLUMNS, &[table, &backfill.key]).await;
        let (mut columns, mut numbers, mut collations) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.map_err(session.error(doing))? {
            let name: String = row.try_get("name").map_err(session.error(doing))?;
            let Some(number) = row.try_get::<_, Option<i16>>("attnum").map_err(session.error(doing))? else {
                return Err(unfit(format!("it has no column {name}")));
            };
            if !row.try_get::<_, bool>("attnotnull").map_err(session.error(doing))? {
                return Err(unfit(format!(
                    "its column {name} may be NULL, and rows without it would be left out"
                )));
            }
            numbers.push(number.to_string());
            collations.push(row.try_get::<_, i64>("collation").map_err(session.error(doing))?.to_string());
            columns.push(Column { name, kind: row.try_get("type").map_err(session.error(doing))? });
        }
        if columns.is_empty() {
            return Err(unfit("it has no primary key; name another one: -- cutover: key=…".to_owned()));
        }
        let length = i32::try_from(columns.len()).unwrap_or(i32::MAX);
        let (numbers, collations) = (numbers.join(" "), collations.join(" "));
        let indexed = session.client().query_one(INDEXED, &[table, &length, &numbers, &collations]).await;
        if !indexed.and_then(|row| row.try_get::<_, bool>(0)).map_err(session.error(doing))? {
            return Err(unfit(format!(
                "no index begins with {}, in this order and for all rows, so that each batch would read the whole table",
                columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
            )));
        }
        let alias = backfill.alias.clone();
        let source = if alias == *table { table.clone() } else { format!("{table} AS {alias}") };
        Ok(Self { columns, source, alias })
    }

    /// What it is, for the ledger: another key's places mean nothing.
    pub(super) fn describe(&self) -> String {
        let columns = self.columns.iter().map(|column| format!("{} {}", column.name, column.kind));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The table with what the statement calls it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The condition for rows after `from`, where it is given, up to and with `to`.
    pub(super) fn range(&self, from: Option<&[String]>, to: &[String]) -> String {
        let key = format!("({})", self.list(|column| format!("{}.{}", self.alias, column.name)));
        let to = format!("{key} <= {}", self.place(to));
        from.map_or(to.clone(), |from| format!("{key} > {} AND {to}", self.place(from)))
    }

    /// The query for the last place of the table, each value as text.
    pub(super) fn last(&self) -> String {
        let texts = self.list(|column| format!("{}.{}::text", self.alias, column.name));
        let down = self.list(|column| format!("{}.{} DESC", self.alias, column.name));
        format!("SELECT {texts} FROM {} ORDER BY {down} LIMIT 1", self.source)
    }

    /// The query for how many the first `rows` of a range are, and for the last place among them, each value as text.
    pub(super) fn end(&self, range: &str, rows: u32) -> String {
        let (alias, source) = (&self.alias, &self.source);
        let names = self.list(|column| column.name.clone());
        let qualified = self.list(|column| format!("{alias}.{}", column.name));
        let texts = self.list(|column| format!("{}::text", column.name));
        // By the key itself: a name alone would be that of the text in the list.
        let down = self.list(|column| format!("keys.{} DESC", column.name));
        format!(
            "WITH keys ({names}) AS MATERIALIZED (SELECT {qualified} FROM {source} WHERE {range} ORDER BY {qualified} LIMIT {rows}) \
             SELECT (SELECT count(*) FROM keys), {texts} FROM keys ORDER BY {down} LIMIT 1"
        )
    }

    /// A place in the key as it stands in SQL. A row, where there are several columns.
    fn place(&self, values: &[String]) -> String {
        let value = |(column, value): (&Column, &String)| format!("{}::{}", literal(value), column.kind);
        let values: Vec<String> = self.columns.iter().zip(values).map(value).collect();
        format!("({})", values.join(", "))
    }

    fn list(&self, each: impl Fn(&Column) -> String) -> String {
        self.columns.iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

/// A text as a constant of SQL, whatever the session's settings say of backslashes (manual, 4.1.2.2).
fn literal(text: &str) -> String {
    // On one line, so that the lines of the statement stay those of its file.
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[(&str, &str)]) -> Key {
        let column = |&(name, kind): &(&str, &str)| Column { name: name.to_owned(), kind: kind.to_owned() };
        Key {
            columns: columns.iter().map(column).collect(),
            source: "posts AS p".to_owned(),
            alias: "p".to_owned(),
        }
    }

    fn values(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_range_is_open_below_and_closed_above() {
        let id = key(&[("id", "bigint")]);
        assert_eq!(id.range(None, &values(&["7"])), "(p.id) <= (E'7'::bigint)");
        let both = key(&[("tenant", "uuid"), ("\"Id\"", "bigint")]);
        assert_eq!(
            both.range(Some(&values(&["a", "1"])), &values(&["b", "2"])),
            "(p.tenant, p.\"Id\") > (E'a'::uuid, E'1'::bigint) AND (p.tenant, p.\"Id\") <= (E'b'::uuid, E'2'::bigint)"
        );
    }

    #[test]
    fn what_stands_in_a_key_stays_a_value() {
        let name = key(&[("name", "text")]);
        let range = name.range(None, &values(&["it's \\ '); DROP TABLE posts; --"]));
        assert_eq!(range, r"(p.name) <= (E'it\'s \\ \'); DROP TABLE posts; --'::text)");
    }
}
