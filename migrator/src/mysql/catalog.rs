//! What the catalog says of what a definition changes.

use cutover_migration::{Definition, Member, Name, Thing};
use mysql_async::{Params, Row};
use sha2::{Digest, Sha256};

use super::{Session, fault};

/// What the catalog says at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Catalog {
    /// The same as long as it says the same of the definition's tables and marks.
    pub(super) fingerprint: String,
    /// Which of the marks hold.
    pub(super) holds: Vec<bool>,
}

impl Catalog {
    /// What it says now of what `definition` changes.
    pub(super) async fn look(
        session: &mut Session,
        definition: &Definition,
    ) -> Result<Self, mysql_async::Error> {
        let mut hash = Sha256::new();
        let mut holds = Vec::with_capacity(definition.marks.len());
        for table in &definition.tables {
            hash.update(text(session, table).await?.unwrap_or_default());
            hash.update([0]);
        }
        for mark in &definition.marks {
            let there = is_there(session, &mark.thing).await?;
            hash.update([u8::from(there)]);
            holds.push(there == mark.there);
        }
        let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { fingerprint, holds })
    }
}

/// A table, or a view, as the server would make it again, but for what every insert changes. None: there is none.
async fn text(session: &mut Session, table: &Name) -> Result<Option<String>, mysql_async::Error> {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let schema = table.schema.as_deref().map(|schema| quoted(schema) + ".").unwrap_or_default();
    match session.query::<Row>(&format!("SHOW CREATE TABLE {schema}{}", quoted(&table.name))).await {
        Ok(rows) => {
            let text = rows.into_iter().next().and_then(|mut row| row.take::<String, _>(1));
            Ok(text.map(|text| without_counter(&text)))
        }
        Err(error) if fault::is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The text without the table's next number.
fn without_counter(text: &str) -> String {
    const COUNTER: &str = " AUTO_INCREMENT=";
    // It stands behind the columns; within them the word has no number.
    match text.rsplit_once(COUNTER) {
        Some((before, after)) if after.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        _ => text.to_owned(),
    }
}

async fn is_there(session: &mut Session, thing: &Thing) -> Result<bool, mysql_async::Error> {
    let (name, from) = match thing {
        Thing::Table(name) => {
            (name, "tables WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?")
        }
        Thing::Trigger(name) => {
            (name, "triggers WHERE trigger_schema = COALESCE(?, DATABASE()) AND trigger_name = ?")
        }
        Thing::Routine(name) => {
            (name, "routines WHERE routine_schema = COALESCE(?, DATABASE()) AND routine_name = ?")
        }
        Thing::Event(name) => {
            (name, "events WHERE event_schema = COALESCE(?, DATABASE()) AND event_name = ?")
        }
        Thing::Member(table, member, _) => (table, of_table(*member)),
    };
    let mut values = vec![name.schema.clone().into(), name.name.clone().into()];
    if let Thing::Member(_, _, member) = thing {
        values.push(member.clone().into());
    }
    let query = format!("SELECT COUNT(*) FROM information_schema.{from}");
    let found = session.rows::<i64>(&query, Params::Positional(values)).await?;
    Ok(found.first().is_some_and(|found| *found > 0))
}

const fn of_table(member: Member) -> &'static str {
    match member {
        Member::Column => {
            "columns WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND column_name = ?"
        }
        Member::Index => {
            "statistics WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND index_name = ?"
        }
        Member::Constraint => {
            "table_constraints WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND constraint_name = ?"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_insert_changes_is_no_change_of_the_table() {
        let table = |counter| {
            format!(
                "CREATE TABLE `t` (\n  `id` int AUTO_INCREMENT\n) ENGINE=InnoDB{counter} DEFAULT CHARSET=utf8mb4"
            )
        };
        assert_eq!(without_counter(&table(" AUTO_INCREMENT=17")), table(""));
        assert_eq!(without_counter(&table("")), table(""));
    }
}
