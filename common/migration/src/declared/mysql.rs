//! Operations as MySQL and MariaDB do them without stopping anybody. Each change of a table says how it is to be made, so that
//! the server refuses what it can't do so, where it would otherwise copy the table.

use cutover_core::{Change, Column, Engine};

use super::moved::Moved;
use super::names::{Names, beside, made_of};
use super::script::{Filling, Part, Phases};
use crate::token::{Token, TokenKind, tokens};

/// Only what is known of the table changes.
const INSTANT: &str = "ALGORITHM=INSTANT";
/// The table is read, or built again, while it is used.
const INPLACE: &str = "ALGORITHM=INPLACE, LOCK=NONE";

/// What to do about what can't be done so.
const BY_HAND: &str =
    "leave it to the application; or write the ALTER TABLE by hand, for a time at which writes may wait";

/// Words in expressions that are no columns.
const WORDS: [&str; 31] = [
    "AND", "AS", "ASC", "BETWEEN", "BINARY", "CASE", "CHAR", "COLLATE", "DATE", "DAY", "DECIMAL", "DIV",
    "ELSE", "END", "FALSE", "HOUR", "IN", "INTERVAL", "IS", "LIKE", "MINUTE", "MOD", "MONTH", "NOT", "NULL",
    "OR", "SIGNED", "THEN", "TRUE", "UNSIGNED", "WHEN",
];

/// Why an operation can't be done on this server.
pub(super) struct Impossible {
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

/// Adds what `change` takes to `phases`.
pub(super) fn add(
    change: &Change,
    engine: Engine,
    names: Names<'_>,
    phases: &mut Phases,
) -> Result<(), Impossible> {
    if let Some(moved) = Moved::of(change) {
        return add_moved(&moved, engine, names, phases);
    }
    match change {
        Change::AddColumn { table, column, fill } => {
            add_column(table, column, fill.as_deref(), engine, names, phases);
        }
        Change::AddIndex { only: Some(_), .. } => {
            return Err(Impossible {
                message: "an index over some of the rows is for PostgreSQL",
                hint: "leave out `where`, or index a generated column",
            });
        }
        Change::AddIndex { table, name, columns, unique, only: None } => {
            let name = name.clone().unwrap_or_else(|| made_of(table, columns, "idx"));
            let unique = if *unique { "UNIQUE " } else { "" };
            let add =
                format!("ALTER TABLE {table} ADD {unique}INDEX {name} ({}), {INPLACE}", columns.join(", "));
            phases.expand.push(Part::of(add));
        }
        Change::AddForeignKey { table, name, columns, references, key, on_delete } => {
            let name = name.clone().unwrap_or_else(|| made_of(table, columns, "fkey"));
            let on_delete = on_delete.as_ref().map(|what| format!(" ON DELETE {what}")).unwrap_or_default();
            let (columns, key) = (columns.join(", "), key.join(", "));
            let add = format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {references} ({key}){on_delete}, {INPLACE}"
            );
            phases.expand.push(unchecked(&add, engine)?);
        }
        Change::AddCheck { .. } => {
            return Err(Impossible {
                message: "MySQL and MariaDB can't add a check without copying the table while nobody writes",
                hint: BY_HAND,
            });
        }
        Change::SetNotNull { kind: None, .. } => {
            return Err(Impossible {
                message: "MySQL and MariaDB want the whole column repeated, and its type isn't given",
                hint: "add `type`: the column's type, with its DEFAULT where it has one",
            });
        }
        Change::SetNotNull { table, column, kind: Some(kind), fill } => {
            phases.backfill.extend(fill.as_ref().map(|fill| Filling {
                table: table.clone(),
                set: vec![(column.clone(), fill.clone())],
                left: format!("{column} IS NULL"),
                before_switch: false,
            }));
            phases.contract.push(Part::of(modify(table, column, kind, "NOT NULL")));
        }
        Change::DropColumn { table, column } => {
            let drop = format!("ALTER TABLE {table} DROP COLUMN {column}, {INSTANT}");
            phases.contract.push(Part::of(drop));
        }
        Change::DropTable { table } => phases.contract.push(Part::of(format!("DROP TABLE {table}"))),
        Change::RenameTable { table, to } => {
            let (view, aside) = (beside(table, to), names.beside(table));
            phases.expand.push(Part::of(format!("CREATE VIEW {view} AS SELECT * FROM {table}")));
            // One statement, so that there is no moment without a table of that name.
            phases.contract.push(Part::of(format!("RENAME TABLE {view} TO {aside}, {table} TO {view}")));
            phases.contract.push(Part::of(format!("DROP VIEW {aside}")));
        }
        Change::RenameColumn { .. } | Change::ChangeType { .. } | Change::Split { .. } => {}
    }
    Ok(())
}

fn add_column(
    table: &str,
    column: &Column,
    fill: Option<&str>,
    engine: Engine,
    names: Names<'_>,
    phases: &mut Phases,
) {
    let Column { name, kind, default, not_null: must } = column;
    let value = match (fill, default) {
        (None, None) => {
            return phases
                .expand
                .push(Part::of(format!("ALTER TABLE {table} ADD COLUMN {name} {kind}, {INSTANT}")));
        }
        (None, Some(default)) if is_literal(default, engine) => {
            let must = if *must { " NOT NULL" } else { "" };
            let add =
                format!("ALTER TABLE {table} ADD COLUMN {name} {kind}{must} DEFAULT {default}, {INSTANT}");
            return phases.expand.push(Part::of(add));
        }
        (Some(value), _) => value,
        (None, Some(value)) => value,
    };
    let default_of = default.as_ref().map(|default| format!(" DEFAULT ({default})")).unwrap_or_default();
    phases.expand.push(Part::of(format!("ALTER TABLE {table} ADD COLUMN {name} {kind}, {INSTANT}")));
    let trigger = names.beside(table);
    // The old version doesn't know the column.
    let given = default.as_deref().map_or_else(|| of_row(value, engine, |_| true), str::to_owned);
    phases.expand.push(Part::of(format!(
        "CREATE TRIGGER {trigger} BEFORE INSERT ON {table} FOR EACH ROW\nBEGIN\n  IF NEW.{name} IS NULL THEN\n    SET NEW.{name} = {given};\n  END IF;\nEND"
    )));
    phases.backfill.push(Filling {
        table: table.to_owned(),
        set: vec![(name.clone(), value.to_owned())],
        left: format!("{name} IS NULL AND ({value}) IS NOT NULL"),
        before_switch: true,
    });
    if *must || default.is_some() {
        let must = if *must { "NOT NULL" } else { "NULL" };
        phases.contract.push(Part::of(modify(table, name, kind, &format!("{must}{default_of}"))));
    }
    phases.contract.push(Part::of(format!("DROP TRIGGER {trigger}")));
}

fn add_moved(
    moved: &Moved<'_>,
    engine: Engine,
    names: Names<'_>,
    phases: &mut Phases,
) -> Result<(), Impossible> {
    let Moved { table, from, back, .. } = *moved;
    let Some(was) = moved.was else {
        return Err(Impossible {
            message: "MySQL and MariaDB want the whole old column repeated, and its type isn't given",
            hint: "add `was`: the type of the old column",
        });
    };
    let add = moved.each(", ", |_, column, _| format!("ADD COLUMN {} {}", column.name, column.kind));
    phases.expand.push(Part::of(format!("ALTER TABLE {table} {add}, {INSTANT}")));

    let news: Vec<&str> = moved.into.iter().map(|(column, _)| column.name.as_str()).collect();
    let declare = moved.each("\n", |number, column, _| format!("  DECLARE value_{number} {};", column.kind));
    let values = moved.each("\n", |number, _, using| {
        format!("  SET value_{number} = {};", of_row(using, engine, |word| same(word, from)))
    });
    let back = of_row(back, engine, |word| news.iter().any(|new| same(word, new)));
    let unset = moved.each(" AND ", |_, column, _| format!("NEW.{} IS NULL", column.name));
    let set = moved.each(" ", |number, column, _| format!("SET NEW.{} = value_{number};", column.name));
    let changed = moved.each(" OR ", |_, column, _| format!("NOT (NEW.{0} <=> OLD.{0})", column.name));
    let differs =
        moved.each(" OR ", |number, column, _| format!("NOT (NEW.{} <=> value_{number})", column.name));
    let (insert, update) = (names.beside(table) + "_insert", names.beside(table) + "_update");
    phases.expand.push(Part::of(format!(
        "CREATE TRIGGER {insert} BEFORE INSERT ON {table} FOR EACH ROW
BEGIN
{declare}
{values}
  IF {unset} THEN
    {set}
  ELSEIF {differs} THEN
    SET NEW.{from} = {back};
  END IF;
END"
    )));
    phases.expand.push(Part::of(format!(
        "CREATE TRIGGER {update} BEFORE UPDATE ON {table} FOR EACH ROW
BEGIN
{declare}
{values}
  IF {changed} THEN
    IF {differs} THEN
      SET NEW.{from} = {back};
    END IF;
  ELSEIF NOT (NEW.{from} <=> OLD.{from}) THEN
    {set}
  END IF;
END"
    )));
    phases.backfill.push(Filling {
        table: table.to_owned(),
        set: moved.values(),
        left: moved.left(),
        before_switch: true,
    });
    for (column, _) in &moved.into {
        if column.not_null || column.default.is_some() {
            let must = if column.not_null { "NOT NULL" } else { "NULL" };
            let default =
                column.default.as_ref().map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
            phases.contract.push(Part::of(modify(
                table,
                &column.name,
                &column.kind,
                &format!("{must}{default}"),
            )));
        }
    }
    // Between the triggers' end and the column's, the new version says nothing of it.
    phases.contract.push(Part::of(modify(table, from, was, "NULL")));
    phases.contract.push(Part::of(format!("DROP TRIGGER {insert}")));
    phases.contract.push(Part::of(format!("DROP TRIGGER {update}")));
    phases.contract.push(Part::of(format!("ALTER TABLE {table} DROP COLUMN {from}, {INSTANT}")));
    Ok(())
}

fn modify(table: &str, column: &str, kind: &str, rest: &str) -> String {
    format!("ALTER TABLE {table} MODIFY COLUMN {column} {kind} {rest}, {INPLACE}")
}

/// A foreign key that the server adds without reading the table: only MariaDB can be told so in the statement itself.
fn unchecked(alter: &str, engine: Engine) -> Result<Part, Impossible> {
    match engine {
        Engine::Mariadb => Ok(Part::of(format!("SET STATEMENT foreign_key_checks = 0 FOR {alter}"))),
        Engine::Mysql | Engine::Postgresql => Err(Impossible {
            message: "MySQL can't add a foreign key without copying the table while nobody writes",
            hint: BY_HAND,
        }),
    }
}

/// An expression in a trigger: words that are columns are those of the new row.
fn of_row(expression: &str, engine: Engine, is_column: impl Fn(&str) -> bool) -> String {
    let found = tokens(expression, engine);
    let mut text = String::new();
    let mut done = 0;
    for (at, token) in found.iter().enumerate() {
        let called = found.get(at + 1).is_some_and(|next| next.is_symbol("("));
        let qualified = at
            .checked_sub(1)
            .and_then(|before| found.get(before))
            .is_some_and(|before| before.is_symbol(".") || before.is_symbol("@"));
        if is_name(token) && !called && !qualified && is_column(token.text) {
            text.push_str(expression.get(done..token.at).unwrap_or_default());
            text.push_str("NEW.");
            done = token.at;
        }
    }
    text + expression.get(done..).unwrap_or_default()
}

fn is_name(token: &Token<'_>) -> bool {
    token.is_name() && !WORDS.into_iter().any(|word| token.is(word))
}

/// Whether two identifiers are the same column.
fn same(one: &str, other: &str) -> bool {
    one.trim_matches('`').eq_ignore_ascii_case(other.trim_matches('`'))
}

/// Whether a default is the same for all rows.
fn is_literal(default: &str, engine: Engine) -> bool {
    tokens(default, engine).iter().all(|token| match token.kind {
        TokenKind::Text => true,
        TokenKind::Symbol => token.text.chars().all(|c| c.is_ascii_digit() || "+-.".contains(c)),
        TokenKind::Word => ["TRUE", "FALSE", "NULL"].into_iter().any(|word| token.is(word)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_in_expressions_become_those_of_the_new_row() {
        let of_row = |text: &str| of_row(text, Engine::Mysql, |word| same(word, "name"));
        assert_eq!(
            of_row("concat(`Name`, ' name', t.name, name(name))"),
            "concat(NEW.`Name`, ' name', t.name, name(NEW.name))"
        );
        assert_eq!(of_row("CASE WHEN names THEN 1 END"), "CASE WHEN names THEN 1 END");
    }

    #[test]
    fn defaults_that_differ_by_row_are_told_from_those_that_do_not() {
        for default in ["0", "-1.5", "'a'", "NULL"] {
            assert!(is_literal(default, Engine::Mariadb), "{default}");
        }
        for default in ["uuid()", "CURRENT_TIMESTAMP", "(1 + 1)"] {
            assert!(!is_literal(default, Engine::Mariadb), "{default}");
        }
    }
}
