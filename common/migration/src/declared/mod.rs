//! From a declaration to the SQL of its phases, for a kind of database. Pure: what is there in the database isn't looked at.

mod moved;
mod mysql;
mod names;
mod postgresql;
mod script;

use cutover_core::{Declaration, Engine, InvalidDeclaration, Phase};

use names::Names;
use script::{Filling, Part, Phases};

/// The SQL of the phases of a declared migration, as [`Migration`](crate::Migration) reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    expand: Option<String>,
    backfill: Option<String>,
    contract: Option<String>,
}

impl Compiled {
    /// The SQL of the declaration that `text` is, of the migration `version`. `file` is its name in front of people.
    ///
    /// # Errors
    /// What is wrong with it, or can't be done on this kind of database, each with its line.
    pub fn read(text: &str, file: &str, version: &str, engine: Engine) -> Result<Self, InvalidDeclaration> {
        let declaration = Declaration::parse(text, file)?;
        let mut phases = Phases::default();
        let mut refused = Vec::new();
        for (number, operation) in (1..).zip(&declaration.operations) {
            let names = Names { version, number };
            let filled = phases.backfill.len();
            if engine.is_postgresql() {
                postgresql::add(&operation.change, names, &mut phases);
            } else if let Err(impossible) = mysql::add(&operation.change, engine, names, &mut phases) {
                refused.push((operation.place, impossible.message.to_owned(), impossible.hint.to_owned()));
            }
            let first = phases.backfill.first().is_some_and(|filling| filling.before_switch);
            if phases.backfill.get(filled).is_some_and(|filling| filling.before_switch != first) {
                let message = "its rows are brought over at another time than those of the operations above";
                let hint = "`fill` of set_not_null waits until the old version is gone, all others are done before the switch: put it into a migration of its own";
                refused.push((operation.place, message.to_owned(), hint.to_owned()));
            }
        }
        if !refused.is_empty() {
            return Err(Declaration::refuse(text, file, refused));
        }
        let backfill: Vec<Part> = phases.backfill.iter().map(Filling::part).collect();
        Ok(Self {
            expand: script::text(&phases.expand, file),
            backfill: script::text(&backfill, file),
            contract: script::text(&phases.contract, file),
        })
    }

    /// The phases that there is something to do in, and their SQL.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, &str)> {
        let all = [
            (Phase::Expand, &self.expand),
            (Phase::Backfill, &self.backfill),
            (Phase::Contract, &self.contract),
        ];
        all.into_iter().filter_map(|(phase, sql)| Some((phase, sql.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(operation: &str, engine: Engine) -> String {
        let text = format!("operations:\n  - {operation}\n");
        Compiled::read(&text, "7_a.yaml", "7", engine).expect_err(operation).to_string()
    }

    #[test]
    fn what_a_server_can_not_do_is_refused_with_its_line() {
        for (operation, engine) in [
            ("add_check: {table: a, name: b, check: c > 0}", Engine::Mariadb),
            ("add_foreign_key: {table: a, columns: b, references: c, key: d}", Engine::Mysql),
            ("add_index: {table: a, columns: b, where: c}", Engine::Mysql),
            ("set_not_null: {table: a, column: b}", Engine::Mariadb),
            (
                "split: {table: a, column: b, back: c, into: [{column: c, type: int, using: b}]}",
                Engine::Mysql,
            ),
        ] {
            let message = refused(operation, engine);
            assert!(message.starts_with("7_a.yaml:2:5: ") && message.contains("\n  = "), "{message}");
        }
    }

    #[test]
    fn rows_are_brought_over_at_one_time() {
        let both = "add_column: {table: a, column: b, type: int, fill: c}\n  - set_not_null: {table: a, column: d, fill: \"0\"}";
        let message = refused(both, Engine::Postgresql);
        assert!(message.contains("7_a.yaml:3:5: its rows are brought over at another time"), "{message}");
    }

    #[test]
    fn every_change_of_a_table_says_how_mysql_is_to_make_it() {
        let text = "operations:
  - rename_column: {table: a, column: b, to: c, type: int, not_null: true}
  - add_column: {table: a, column: d, type: int}
  - add_index: {table: a, columns: d}
  - drop_column: {table: a, column: e}
";
        let compiled = Compiled::read(text, "7_a.yaml", "7", Engine::Mysql).unwrap_or_default();
        let alters: Vec<&str> = compiled
            .phases()
            .flat_map(|(_, sql)| sql.lines())
            .filter(|line| line.starts_with("ALTER TABLE"))
            .collect();
        assert_eq!(alters.len(), 7);
        assert!(alters.iter().all(|alter| alter.contains(", ALGORITHM=IN")), "{alters:#?}");
    }
}
