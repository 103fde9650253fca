//! Operations as PostgreSQL does them without stopping anybody.

use cutover_core::{Change, Column, Engine};

use super::moved::Moved;
use super::names::{Names, beside, made_of, unqualified};
use super::script::{Filling, Part, Phases};
use crate::token::{TokenKind, tokens};

/// Functions that don't change within a transaction: the server computes such a default once, for all rows that are there.
const STABLE: [&str; 7] =
    ["NOW", "CURRENT_TIMESTAMP", "CURRENT_DATE", "LOCALTIMESTAMP", "TRUE", "FALSE", "NULL"];

/// Adds what `change` takes to `phases`.
pub(super) fn add(change: &Change, names: Names<'_>, phases: &mut Phases) {
    if let Some(moved) = Moved::of(change) {
        return add_moved(&moved, names, phases);
    }
    match change {
        Change::AddColumn { table, column, fill } => {
            add_column(table, column, fill.as_deref(), names, phases)
        }
        Change::AddIndex { table, name, columns, unique, only } => {
            let name = name.clone().unwrap_or_else(|| made_of(table, columns, "idx"));
            let unique = if *unique { "UNIQUE " } else { "" };
            let columns: Vec<String> = columns.iter().map(|column| indexed(column)).collect();
            let only = only.as_ref().map(|only| format!(" WHERE {only}")).unwrap_or_default();
            let create =
                format!("CREATE {unique}INDEX CONCURRENTLY {name} ON {table} ({}){only}", columns.join(", "));
            phases.expand.push(Part::of(create).header("transaction=off"));
        }
        Change::AddForeignKey { table, name, columns, references, key, on_delete } => {
            let name = name.clone().unwrap_or_else(|| made_of(table, columns, "fkey"));
            let on_delete = on_delete.as_ref().map(|what| format!(" ON DELETE {what}")).unwrap_or_default();
            let (columns, key) = (columns.join(", "), key.join(", "));
            let condition = format!("FOREIGN KEY ({columns}) REFERENCES {references} ({key}){on_delete}");
            phases.expand.extend(constraint(table, &name, &condition));
        }
        Change::AddCheck { table, name, condition } => {
            phases.expand.extend(constraint(table, name, &format!("CHECK ({condition})")));
        }
        Change::SetNotNull { table, column, fill, .. } => {
            phases.backfill.extend(fill.as_ref().map(|fill| Filling {
                table: table.clone(),
                set: vec![(column.clone(), fill.clone())],
                left: format!("{column} IS NULL"),
                before_switch: false,
            }));
            phases.contract.extend(not_null(table, column, names));
        }
        Change::DropColumn { table, column } => {
            // The new version writes nothing there.
            phases.expand.push(Part::of(format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")));
            phases.contract.push(Part::of(format!("ALTER TABLE {table} DROP COLUMN {column}")));
        }
        Change::DropTable { table } => phases.contract.push(Part::of(format!("DROP TABLE {table}"))),
        Change::RenameTable { table, to } => {
            let view = beside(table, to);
            let create = format!("CREATE VIEW {view} AS SELECT * FROM {table}");
            phases.expand.push(Part::all([create, same_rights(table, &view)]));
            phases.contract.push(Part::all([
                format!("DROP VIEW {view}"),
                format!("ALTER TABLE {table} RENAME TO {to}"),
            ]));
        }
        Change::RenameColumn { .. } | Change::ChangeType { .. } | Change::Split { .. } => {}
    }
}

fn add_column(table: &str, column: &Column, fill: Option<&str>, names: Names<'_>, phases: &mut Phases) {
    let Column { name, kind, default, not_null: must } = column;
    let add = format!("ALTER TABLE {table} ADD COLUMN {name} {kind}");
    let value = match (fill, default) {
        (None, None) => return phases.expand.push(Part::of(add)),
        (None, Some(default)) if is_stable(default) => {
            let must = if *must { " NOT NULL" } else { "" };
            return phases.expand.push(Part::of(format!("{add}{must} DEFAULT {default}")));
        }
        (Some(value), _) => value,
        (None, Some(value)) => value,
    };
    let mut statements = vec![add];
    match default {
        Some(default) => {
            statements.push(format!("ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default}"));
        }
        // The old version doesn't know the column.
        None => statements.extend(trigger(
            table,
            names,
            "INSERT",
            &format!(
                "BEGIN\n  IF NEW.{name} IS NULL THEN\n    SELECT {value} INTO NEW.{name} FROM (SELECT NEW.*) AS {};\n  END IF;\n  RETURN NEW;\nEND",
                unqualified(table)
            ),
        )),
    }
    phases.expand.push(Part::all(statements));
    phases.backfill.push(Filling {
        table: table.to_owned(),
        set: vec![(name.clone(), value.to_owned())],
        left: format!("{name} IS NULL AND ({value}) IS NOT NULL"),
        before_switch: true,
    });
    if *must {
        phases.contract.extend(not_null(table, name, names));
    }
    if default.is_none() {
        phases.contract.push(Part::all(no_trigger(table, names)));
    }
}

fn add_moved(moved: &Moved<'_>, names: Names<'_>, phases: &mut Phases) {
    let Moved { table, from, back, .. } = *moved;
    let add = moved.each(", ", |_, column, _| format!("ADD COLUMN {} {}", column.name, column.kind));
    let row = format!("FROM (SELECT NEW.*) AS {}", unqualified(table));
    let declared = moved.each("", |number, column, _| format!("  value_{number} {};\n", column.kind));
    let values = moved.each(", ", |_, _, using| using.to_owned());
    let variables = moved.each(", ", |number, _, _| format!("value_{number}"));
    let unset = moved.each(" AND ", |_, column, _| format!("NEW.{} IS NULL", column.name));
    let set = moved.each(" ", |number, column, _| format!("NEW.{} := value_{number};", column.name));
    let changed = moved.each(" OR ", |_, column, _| {
        differ(&format!("NEW.{}", column.name), &format!("OLD.{}", column.name))
    });
    let differs = moved.each(" OR ", |number, column, _| {
        differ(&format!("NEW.{}", column.name), &format!("value_{number}"))
    });
    let old_changed = differ(&format!("NEW.{from}"), &format!("OLD.{from}"));
    let body = format!(
        "DECLARE
{declared}BEGIN
  SELECT {values} INTO {variables} {row};
  IF TG_OP = 'INSERT' THEN
    IF {unset} THEN
      {set}
    ELSIF {differs} THEN
      SELECT {back} INTO NEW.{from} {row};
    END IF;
  ELSIF {changed} THEN
    IF {differs} THEN
      SELECT {back} INTO NEW.{from} {row};
    END IF;
  ELSIF {old_changed} THEN
    {set}
  END IF;
  RETURN NEW;
END"
    );
    let add = std::iter::once(format!("ALTER TABLE {table} {add}"));
    phases.expand.push(Part::all(add.chain(trigger(table, names, "INSERT OR UPDATE", &body))));
    phases.backfill.push(Filling {
        table: table.to_owned(),
        set: moved.values(),
        left: moved.left(),
        before_switch: true,
    });
    for (number, (column, _)) in (1..).zip(&moved.into) {
        if column.not_null {
            phases.contract.extend(not_null_as(table, &column.name, &format!("{}_{number}", names.bare())));
        }
    }
    let defaults = moved.into.iter().filter_map(|(column, _)| {
        let default = column.default.as_ref()?;
        Some(format!(", ALTER COLUMN {} SET DEFAULT {default}", column.name))
    });
    let drop = format!("ALTER TABLE {table} DROP COLUMN {from}{}", defaults.collect::<String>());
    phases.contract.push(Part::all(no_trigger(table, names).into_iter().chain([drop])));
}

/// Whether two values differ, as texts: json, xml and point have no equality, and the write would fail.
fn differ(one: &str, other: &str) -> String {
    format!("{one}::text IS DISTINCT FROM {other}::text")
}

/// A trigger before each row, and its function.
fn trigger(table: &str, names: Names<'_>, events: &str, body: &str) -> [String; 2] {
    let (trigger, function) = (names.last(), names.beside(table));
    [
        format!(
            "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $cutover$\n{body}\n$cutover$"
        ),
        format!(
            "CREATE TRIGGER {trigger} BEFORE {events} ON {table}\nFOR EACH ROW EXECUTE FUNCTION {function}()"
        ),
    ]
}

fn no_trigger(table: &str, names: Names<'_>) -> [String; 2] {
    [format!("DROP TRIGGER {} ON {table}", names.last()), format!("DROP FUNCTION {}()", names.beside(table))]
}

/// Gives those who have rights of a table the same of its view, through which they count as themselves: row security would see
/// the view's owner otherwise. That takes PostgreSQL 15, and rights of all columns: else a table with row security is refused.
fn same_rights(table: &str, view: &str) -> String {
    format!(
        "DO $cutover$
DECLARE
  granted record;
BEGIN
  IF current_setting('server_version_num')::integer >= 150000 AND NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = $name${table}$name$::regclass AND attacl IS NOT NULL
  ) THEN
    ALTER VIEW {view} SET (security_invoker = true);
  ELSIF (SELECT relrowsecurity FROM pg_class WHERE oid = $name${table}$name$::regclass) THEN
    RAISE EXCEPTION 'the row security of a table does not hold for a view of it before PostgreSQL 15, nor with grants of single columns'
      USING HINT = 'rename the table by hand, or leave it as it is';
  END IF;
  FOR granted IN
    SELECT acl.*, '' AS columns FROM pg_class, aclexplode(relacl) AS acl WHERE oid = $name${table}$name$::regclass
    UNION ALL
    SELECT acl.*, format('(%I)', attname) FROM pg_attribute, aclexplode(attacl) AS acl
    WHERE attrelid = $name${table}$name$::regclass AND NOT attisdropped
  LOOP
    EXECUTE format(
      'GRANT %s %s ON %s TO %s %s', granted.privilege_type, granted.columns, $name${view}$name$,
      CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END,
      CASE WHEN granted.is_grantable THEN 'WITH GRANT OPTION' END
    );
  END LOOP;
END
$cutover$"
    )
}

/// A constraint that holds for what is written at once, and for what is there after a scan that stops nobody.
fn constraint(table: &str, name: &str, condition: &str) -> [Part; 2] {
    [
        Part::of(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {condition} NOT VALID")),
        Part::of(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")),
    ]
}

fn not_null(table: &str, column: &str, names: Names<'_>) -> [Part; 3] {
    not_null_as(table, column, &names.bare())
}

/// NOT NULL by way of a check, which spares the server the scan under its strongest lock. In one ALTER TABLE the check would
/// be dropped first.
fn not_null_as(table: &str, column: &str, check: &str) -> [Part; 3] {
    let [add, validate] = constraint(table, check, &format!("CHECK ({column} IS NOT NULL)"));
    let set = Part::all([
        format!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"),
        format!("ALTER TABLE {table} DROP CONSTRAINT {check}"),
    ]);
    [add, validate, set]
}

/// A column as it stands in an index, or an expression in its parentheses.
fn indexed(column: &str) -> String {
    let found = tokens(column, Engine::Postgresql);
    let symbol = |sign: &str| found.iter().any(|token| token.is_symbol(sign));
    // A call of a function needs none, nor does a column with a class or a direction.
    let call = found.get(1).is_some_and(|token| token.is_symbol("("))
        && found.last().is_some_and(|t| t.is_symbol(")"));
    let plain = found.iter().all(|token| token.is_name());
    if plain || call || column.starts_with('(') || !symbol("(") && !symbol("|") && !symbol(":") {
        column.to_owned()
    } else {
        format!("({column})")
    }
}

/// Whether a default is the same for all rows that are there, so that the server needn't write them.
fn is_stable(default: &str) -> bool {
    tokens(default, Engine::Postgresql).iter().all(|token| match token.kind {
        TokenKind::Word => {
            let is_type = default.get(..token.at).is_some_and(|before| before.ends_with("::"));
            is_type || STABLE.into_iter().any(|word| token.is(word))
        }
        TokenKind::Text => true,
        TokenKind::Symbol => token.text.chars().all(|c| c.is_ascii_digit() || "+-.():[]".contains(c)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_that_differ_by_row_are_told_from_those_that_do_not() {
        for default in ["0", "-1.5", "'a b'", "'{}'::jsonb", "now()", "TRUE", "'x'::varchar(20)"] {
            assert!(is_stable(default), "{default}");
        }
        for default in ["gen_random_uuid()", "random()", "clock_timestamp()", "nextval('a')", "id * 2"] {
            assert!(!is_stable(default), "{default}");
        }
    }

    #[test]
    fn expressions_get_the_parentheses_that_they_need() {
        assert_eq!(indexed("name"), "name");
        assert_eq!(indexed("name DESC"), "name DESC");
        assert_eq!(indexed("lower(name)"), "lower(name)");
        assert_eq!(indexed("first || last"), "(first || last)");
        assert_eq!(indexed("(a -> 'b')"), "(a -> 'b')");
    }
}
