//! The key that a table is walked along, and ranges of it.

use cutover_migration::{Backfill, Migration, Name};
use mysql_async::Value;

use super::super::Session;
use super::column::{COLUMNS, Column};
use crate::Error;

/// The columns of the table's indexes, each index in its order. One that may be left out of a search has no `BTREE`, or a part
/// of a column only.
const INDEXES: &str = "SELECT index_name, column_name, sub_part IS NULL AND index_type = 'BTREE', collation = 'D' \
    FROM information_schema.statistics WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? \
    ORDER BY index_name, seq_in_index";

const TABLE: &str = "SELECT engine FROM information_schema.tables \
    WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND table_type = 'BASE TABLE'";

/// The key that a table is walked along.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    columns: Vec<Column>,
    /// The index that it is the beginning of.
    index: String,
    table: String,
    alias: String,
}

impl Key {
    /// The key of `backfill`.
    ///
    /// # Errors
    /// When the table isn't there, or can't be walked along the key so that no row is left out and no batch reads all of it.
    pub(super) async fn find(
        session: &mut Session,
        migration: &Migration,
        backfill: &Backfill,
    ) -> Result<Self, Error> {
        let unfit = |why: String| Error::Key {
            file: migration.file().to_owned(),
            table: backfill.table.clone(),
            why,
        };
        let Name { schema, name } =
            Name::read(&backfill.table).ok_or_else(|| unfit("its name can't be read".to_owned()))?;
        let doing = "look at the key of a table";
        let place: [Value; 2] = [schema.into(), name.into()];
        let engine = session.rows::<Option<String>>(TABLE, place.to_vec()).await;
        match engine.map_err(session.error(doing))?.into_iter().next() {
            None => return Err(unfit("there is no such table".to_owned())),
            Some(engine) if engine.as_deref() != Some("InnoDB") => {
                return Err(unfit(
                    "its engine isn't InnoDB: rows and the place that they have come to can't be one transaction"
                        .to_owned(),
                ));
            }
            Some(_) => {}
        }
        let columns = session.rows(COLUMNS, place.to_vec()).await.map_err(session.error(doing))?;
        let columns: Vec<Column> = columns.into_iter().map(Column::of).collect();
        let parts = session.rows::<(String, String, bool, Option<bool>)>(INDEXES, place.to_vec()).await;
        let indexes = Index::all(parts.map_err(session.error(doing))?);
        let names = match &backfill.key {
            Some(given) => given.iter().filter_map(|text| Name::read(text)).map(|name| name.name).collect(),
            None => indexes
                .iter()
                .find(|index| index.name == "PRIMARY")
                .map(|index| index.columns.clone())
                .unwrap_or_default(),
        };
        if names.is_empty() {
            return Err(unfit("it has no primary key; name another one: -- cutover: key=…".to_owned()));
        }
        let mut key = Vec::new();
        for name in &names {
            let Some(column) = columns.iter().find(|column| column.is(name)) else {
                return Err(unfit(format!("it has no column {name}")));
            };
            if let Some(why) = column.unfit() {
                return Err(unfit(why));
            }
            key.push(column.clone());
        }
        let Some(index) = indexes.iter().find(|index| index.begins_with(&names)) else {
            return Err(unfit(format!(
                "no index begins with {}, in this order and for all of them, so that each batch would read the whole table",
                names.join(", ")
            )));
        };
        let (index, table, alias) = (index.name.clone(), backfill.table.clone(), backfill.alias.clone());
        Ok(Self { columns: key, index, table, alias })
    }

    /// What it is, for the ledger: another key's places mean nothing.
    pub(super) fn describe(&self) -> String {
        self.columns.iter().map(Column::describe).collect::<Vec<_>>().join(", ")
    }

    /// The table with what the statement calls it.
    pub(super) fn source(&self) -> String {
        if self.alias == self.table {
            self.table.clone()
        } else {
            format!("{} AS {}", self.table, self.alias)
        }
    }

    /// Whether its places are times that the session's zone has a say in.
    pub(super) fn has_zone(&self) -> bool {
        self.columns.iter().any(Column::has_zone)
    }

    /// The condition for rows after `from`, where it is given, up to and with `to`. Columns are compared one by one: of a row
    /// the server makes no range of an index (MySQL's manual, 10.2.1.22).
    pub(super) fn range(&self, from: Option<&[String]>, to: &[String]) -> String {
        let to = self.side(to, '<', true);
        from.map_or_else(|| to.clone(), |from| format!("{} AND {to}", self.side(from, '>', false)))
    }

    /// The query for the last place of the table, each value as [`Column::text`] has it.
    pub(super) fn last(&self) -> String {
        let texts = self.list(|column| column.text(&self.alias));
        let down = self.list(|column| format!("{}.{} DESC", self.alias, column.quoted()));
        format!("SELECT {texts} FROM {} ORDER BY {down} LIMIT 1", self.indexed())
    }

    /// The query for how many the first `rows` of a range are, and for the last place among them.
    pub(super) fn end(&self, range: &str, rows: u32) -> String {
        let names = self.list(|column| format!("{}.{}", self.alias, column.quoted()));
        let texts = self.list(|column| column.text("batch_keys"));
        let down = self.list(|column| format!("batch_keys.{} DESC", column.quoted()));
        let source = self.indexed();
        format!(
            "SELECT COUNT(*) OVER (), {texts} FROM (SELECT {names} FROM {source} WHERE {range} ORDER BY {names} LIMIT {rows}) AS batch_keys \
             ORDER BY {down} LIMIT 1"
        )
    }

    /// The table, read along the key whatever the server thinks of its statistics.
    fn indexed(&self) -> String {
        format!("{} FORCE INDEX (`{}`)", self.source(), self.index.replace('`', "``"))
    }

    /// The condition for rows on one side of a place, and with it where that is `within`.
    fn side(&self, place: &[String], order: char, within: bool) -> String {
        let named: Vec<(String, String)> = self
            .columns
            .iter()
            .zip(place)
            .map(|(column, value)| (format!("{}.{}", self.alias, column.quoted()), column.constant(value)))
            .collect();
        let mut condition = String::new();
        for (number, (column, value)) in named.iter().enumerate().rev() {
            let last = number + 1 == named.len();
            condition = if last {
                let order = if within { format!("{order}=") } else { order.to_string() };
                format!("{column} {order} {value}")
            } else {
                format!("{column} {order}= {value} AND ({column} {order} {value} OR {condition})")
            };
        }
        format!("({condition})")
    }

    fn list(&self, each: impl Fn(&Column) -> String) -> String {
        self.columns.iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

/// An index.
#[derive(Debug)]
struct Index {
    name: String,
    columns: Vec<String>,
    /// How many of the columns, from the first one on, have all of their values in it, in one direction.
    whole: usize,
}

impl Index {
    /// The indexes whose columns `parts` are.
    fn all(parts: Vec<(String, String, bool, Option<bool>)>) -> Vec<Self> {
        let mut all: Vec<(Self, Option<bool>)> = Vec::new();
        for (name, column, whole, down) in parts {
            let first = all.last().is_none_or(|(index, _)| index.name != name);
            if first {
                all.push((Self { name, columns: Vec::new(), whole: 0 }, down));
            }
            let Some((index, direction)) = all.last_mut() else { continue };
            if whole && index.whole == index.columns.len() && *direction == down {
                index.whole += 1;
            }
            index.columns.push(column);
        }
        all.into_iter().map(|(index, _)| index).collect()
    }

    fn begins_with(&self, names: &[String]) -> bool {
        names.len() <= self.whole
            && names.iter().zip(&self.columns).all(|(name, column)| name.eq_ignore_ascii_case(column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: Vec<Column>) -> Key {
        Key { columns, index: "PRIMARY".to_owned(), table: "posts".to_owned(), alias: "p".to_owned() }
    }

    fn values(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_range_is_open_below_and_closed_above() {
        let id = key(vec![Column::number("id")]);
        assert_eq!(id.range(None, &values(&["7"])), "(p.`id` <= 7)");
        let both = key(vec![Column::number("tenant"), Column::number("id")]);
        assert_eq!(
            both.range(Some(&values(&["1", "2"])), &values(&["3", "4"])),
            "(p.`tenant` >= 1 AND (p.`tenant` > 1 OR p.`id` > 2)) AND (p.`tenant` <= 3 AND (p.`tenant` < 3 OR p.`id` <= 4))"
        );
    }

    #[test]
    fn an_index_is_of_use_as_far_as_it_has_whole_columns_in_one_direction() {
        let part =
            |name: &str, column: &str, whole, down| (name.to_owned(), column.to_owned(), whole, Some(down));
        let indexes = Index::all(vec![
            part("PRIMARY", "a", true, false),
            part("PRIMARY", "b", true, false),
            part("i", "a", true, false),
            part("i", "b", true, true),
            part("p", "t", false, false),
        ]);
        let whole: Vec<usize> = indexes.iter().map(|index| index.whole).collect();
        assert_eq!(whole, [2, 1, 0]);
        let begins = |names: &[&str]| indexes.first().map(|index| index.begins_with(&values(names)));
        assert_eq!(
            (begins(&["A"]), begins(&["a", "b"]), begins(&["b"])),
            (Some(true), Some(true), Some(false))
        );
    }
}
