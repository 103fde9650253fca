//! Keys and values into operations.

use super::operation::{Change, Column, Operation};
use crate::deploy_file::error::{Problem, Problems};
use crate::deploy_file::node::{Node, Value};
use crate::deploy_file::section::{Section, scalar};
use crate::deploy_file::units::flag;

/// A text that can't stand in SQL where it is to.
#[derive(Debug, thiserror::Error)]
enum InvalidSql {
    #[error("'{0}' is not a name: write it as it stands in SQL, with quotes where it needs them")]
    Name(String),
    #[error("'{0}' is not a table's name: write it as it stands in SQL, as in users or app.users")]
    Table(String),
    #[error("empty: give it a value, or leave the key out")]
    Empty,
    #[error("it has a ; or a comment in it: write one type or one expression")]
    Several,
    #[error("it has a comma or a ) outside of its parentheses: write one type or one expression")]
    Open,
    #[error("'{word}' is not a part of a type: {instead}")]
    NotOfType { word: String, instead: &'static str },
}

/// What is written behind a type and says more than what values there are, and how an operation says it.
const NOT_OF_TYPE: [(&[&str], &str); 8] = [
    (&["DEFAULT"], "give it as `default`"),
    (&["NOT"], "write `not_null: true`"),
    (&["UNIQUE"], "add_index with `unique: true` makes it without stopping writes"),
    (&["REFERENCES"], "add_foreign_key adds it without stopping writes"),
    (&["CHECK", "CONSTRAINT"], "add_check adds it without stopping reads and writes"),
    (
        &["PRIMARY", "KEY"],
        "no operation changes a primary key: add_index with `unique: true` and set_not_null come near",
    ),
    (
        &["GENERATED", "AS", "AUTO_INCREMENT"],
        "all rows would be written again: give the value as `fill`, and let the new version write it",
    ),
    (
        &["SERIAL", "SMALLSERIAL", "BIGSERIAL", "SERIAL2", "SERIAL4", "SERIAL8"],
        "all rows would be written again: write an integer type, and nextval of a sequence of your own as `default`",
    ),
];

/// How an operation is read, of its section and with its path.
type Reader = fn(&mut Section<'_>, &mut Problems) -> Option<Change>;

/// The operations by their names.
const READERS: [(&str, Reader); 11] = [
    ("add_column", add_column),
    ("rename_column", rename_column),
    ("change_type", change_type),
    ("split", split),
    ("add_index", add_index),
    ("add_foreign_key", add_foreign_key),
    ("add_check", add_check),
    ("set_not_null", set_not_null),
    ("drop_column", drop_column),
    ("drop_table", drop_table),
    ("rename_table", rename_table),
];

/// Reads the operation that an item of the list is.
pub(super) fn operation(path: String, item: &Node, problems: &mut Problems) -> Option<Operation> {
    let mut section = Section::of(path, item, problems)?;
    let (path, place, given) = (section.path.clone(), item.place, section.entries.len());
    let mut changes = Vec::new();
    for (name, read) in READERS {
        if let Some(mut part) = section.section(name, problems) {
            changes.push(read(&mut part, problems));
            part.done(problems);
        }
    }
    section.done(problems);
    if given != 1 {
        let message = format!("expected one operation, found {given}");
        let hint = "each item of the list is one: a line that begins with - and its name";
        problems.add(Problem::new(&path, place, message).hint(hint));
    }
    changes.pop().flatten().map(|change| Operation { change, place })
}

fn add_column(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, column) = (table(section, problems), column(section, "column", problems));
    let fill = section.value("fill", expression, problems);
    let column = column?;
    if column.not_null && column.default.is_none() && fill.is_none() && section.lacks("fill") {
        let missing =
            Problem::new(&section.path, section.place, "not_null, and no value for the rows that are there");
        problems.add(missing.hint("add `default`, or `fill`: an expression of the row's other columns"));
        return None;
    }
    Some(Change::AddColumn { table: table?, column, fill })
}

fn rename_column(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, from) = (table(section, problems), section.required("column", name, problems));
    let to = column(section, "to", problems);
    Some(Change::RenameColumn { table: table?, from: from?, to: to? })
}

fn change_type(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, from) = (table(section, problems), section.required("column", name, problems));
    let (to, was) = (column(section, "to", problems), section.value("was", kind, problems));
    let using = section.required("using", expression, problems);
    let back = section.required("back", expression, problems);
    Some(Change::ChangeType { table: table?, from: from?, to: to?, was, using: using?, back: back? })
}

fn split(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, from) = (table(section, problems), section.required("column", name, problems));
    let was = section.value("was", kind, problems);
    let back = section.required("back", expression, problems);
    if section.lacks("into") {
        problems.add(Problem::new(&section.path_of("into"), section.place, "missing"));
    }
    let items = section.list("into", problems)?;
    let mut into = Vec::with_capacity(items.len());
    for (path, item) in items {
        let Some(mut piece) = Section::of(path, item, problems) else { continue };
        let column = column(&mut piece, "column", problems);
        let using = piece.required("using", expression, problems);
        piece.done(problems);
        into.extend(column.zip(using));
    }
    Some(Change::Split { table: table?, from: from?, was, into, back: back? })
}

fn add_index(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, columns) = (table(section, problems), texts(section, "columns", expression, problems));
    Some(Change::AddIndex {
        name: section.value("name", name, problems),
        unique: section.value("unique", flag, problems).unwrap_or_default(),
        only: section.value("where", expression, problems),
        table: table?,
        columns: columns?,
    })
}

fn add_foreign_key(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let columns = texts(section, "columns", name, problems);
    let references = section.required("references", qualified, problems);
    let key = texts(section, "key", name, problems);
    Some(Change::AddForeignKey {
        name: section.value("name", name, problems),
        on_delete: section.value("on_delete", enclosed, problems),
        table: table(section, problems)?,
        columns: columns?,
        references: references?,
        key: key?,
    })
}

fn add_check(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, name) = (table(section, problems), section.required("name", name, problems));
    let condition = section.required("check", enclosed, problems);
    Some(Change::AddCheck { table: table?, name: name?, condition: condition? })
}

fn set_not_null(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (kind, fill) = (section.value("type", kind, problems), section.value("fill", expression, problems));
    let (table, column) = (table(section, problems), section.required("column", name, problems));
    Some(Change::SetNotNull { table: table?, column: column?, kind, fill })
}

fn drop_column(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, column) = (table(section, problems), section.required("column", name, problems));
    Some(Change::DropColumn { table: table?, column: column? })
}

fn drop_table(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    Some(Change::DropTable { table: table(section, problems)? })
}

fn rename_table(section: &mut Section<'_>, problems: &mut Problems) -> Option<Change> {
    let (table, to) = (table(section, problems), section.required("to", name, problems));
    Some(Change::RenameTable { table: table?, to: to? })
}

fn table(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    section.required("table", qualified, problems)
}

/// A column whose name stands at `key`.
fn column(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Option<Column> {
    let name = section.required(key, name, problems);
    let kind = section.required("type", kind, problems);
    let default = section.value("default", enclosed, problems);
    let not_null = section.value("not_null", flag, problems).unwrap_or_default();
    Some(Column { name: name?, kind: kind?, default, not_null })
}

/// A list of texts, or one alone.
fn texts(
    section: &mut Section<'_>,
    key: &'static str,
    parse: fn(&str) -> Result<String, InvalidSql>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let path = section.path_of(key);
    if section.lacks(key) {
        problems.add(Problem::new(&path, section.place, "missing"));
    }
    let node = section.node(key)?;
    if !matches!(node.value, Value::List(_)) {
        return scalar(&path, node, parse, problems).map(|text| vec![text]);
    }
    let items = section.list(key, problems)?;
    if items.is_empty() {
        problems.add(Problem::new(&path, node.place, "empty: name at least one"));
        return None;
    }
    items.into_iter().map(|(path, item)| scalar(&path, item, parse, problems)).collect()
}

/// An identifier: letters, digits, _ and $, no digit first; or anything in quotes.
fn name(text: &str) -> Result<String, InvalidSql> {
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
        && text.chars().next().is_some_and(|first| !first.is_numeric() && first != '$');
    let quoted = ['"', '`'].into_iter().any(|quote| {
        let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(quote))
    });
    if plain || quoted { Ok(text.to_owned()) } else { Err(InvalidSql::Name(text.to_owned())) }
}

/// An identifier, or two with a dot between.
fn qualified(text: &str) -> Result<String, InvalidSql> {
    let parts = || text.split('.');
    if parts().count() <= 2 && parts().all(|part| name(part).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err(InvalidSql::Table(text.to_owned()))
    }
}

/// A type, and nothing that the server would do along with it.
fn kind(text: &str) -> Result<String, InvalidSql> {
    let kind = expression(text)?;
    let top = outside(&kind).ok_or(InvalidSql::Open)?;
    for word in top.split(|c: char| !c.is_alphanumeric() && c != '_') {
        let says_more =
            |(words, _): &&(&[&str], _)| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        if let Some((_, instead)) = NOT_OF_TYPE.iter().find(says_more) {
            return Err(InvalidSql::NotOfType { word: word.to_owned(), instead });
        }
    }
    Ok(kind)
}

/// An expression behind which, in a change of a table, another change could begin.
fn enclosed(text: &str) -> Result<String, InvalidSql> {
    let text = expression(text)?;
    outside(&text).map(|_| text).ok_or(InvalidSql::Open)
}

/// What stands outside of parentheses and quotes. None where a comma does, or a parenthesis is closed that isn't open: there
/// another part of the statement would begin.
fn outside(text: &str) -> Option<String> {
    let (mut depth, mut quote, mut top) = (0_usize, None, String::new());
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) => quote = Some(open).filter(|open| *open != character),
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.checked_sub(1)?,
            (None, ',') if depth == 0 => return None,
            (None, _) if depth == 0 => {
                top.push(character);
                continue;
            }
            (None, _) => {}
        }
        top.push(' ');
    }
    Some(top)
}

/// A type or an expression: whatever can't end the statement that it will stand in.
fn expression(text: &str) -> Result<String, InvalidSql> {
    if text.trim().is_empty() {
        Err(InvalidSql::Empty)
    } else if [";", "--", "/*", "#"].into_iter().any(|sign| text.contains(sign)) {
        Err(InvalidSql::Several)
    } else {
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_stands_in_the_documentation() {
        let page = include_str!("../../../../docs/migrations.md");
        for (name, _) in READERS {
            assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
