//! Embedded Ruby, of which the simplest is read: a variable of the environment, perhaps with a default. What stands for it in the
//! text is as wide as it is, so that YAML can be read around it and every place stays what it was.

use cutover_core::tree::Problems;
use cutover_core::{Place, Problem};

/// Begins what stands for a tag; the next character says which tag.
const MARK: char = '\u{e000}';
/// Fills it up.
const FILL: char = '\u{e001}';
/// Stands for the first tag.
const FIRST: u32 = 0xe100;
/// Tags that a file may have.
const MOST: u32 = 0x1000;

/// A variable of the environment that a tag names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// What it is where it isn't set.
    pub(crate) default: Option<String>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Variable(Variable),
}

/// Replaces the tags of a text, and adds the variables that they name to `variables`. What can't be read is a problem.
pub(crate) fn mask(text: &str, variables: &mut Vec<Variable>, problems: &mut Problems) -> String {
    let mut masked = String::with_capacity(text.len());
    let (mut line, mut column, mut in_comment, mut is_blank) = (1, 1, false, true);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let place = Place { line, column, width: 2 };
        if rest.starts_with("<%") && !in_comment {
            let Some(end) = rest.get(2..).and_then(|rest| rest.find("%>")) else {
                let open = Problem::new("", place, "<% without %>");
                problems.add(open.hint("embedded Ruby ends with %>; a text that begins so is put elsewhere"));
                masked.extend(rest.chars().map(|c| if c == '\n' { c } else { ' ' }));
                break;
            };
            let (tag, after) = rest.split_at(end + 4);
            let place = Place { width: tag.chars().take_while(|c| *c != '\n').count(), ..place };
            let stand_in = stand_in(tag, place, variables, problems);
            for (index, c) in tag.chars().enumerate() {
                let instead = match (c, stand_in, index) {
                    ('\n', ..) => '\n',
                    (_, None, _) => ' ',
                    (_, Some(_), 0) => MARK,
                    (_, Some(which), 1) => which,
                    (_, Some(_), _) => FILL,
                };
                masked.push(instead);
                (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            is_blank = false;
            rest = after;
            continue;
        }
        if ('\u{e000}'..='\u{f8ff}').contains(&c) {
            problems.add(Problem::new("", Place { width: 1, ..place }, "a character of private use"));
            masked.push(' ');
        } else {
            masked.push(c);
        }
        (in_comment, is_blank) = match c {
            '\n' => (false, true),
            '#' if is_blank => (true, false),
            ' ' | '\t' => (in_comment, is_blank),
            _ => (in_comment, false),
        };
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    masked
}

/// The character that says which tag it is; none where it leaves nothing in the text.
fn stand_in(tag: &str, place: Place, variables: &mut Vec<Variable>, problems: &mut Problems) -> Option<char> {
    if tag.starts_with("<%#") {
        return None;
    }
    let mut refuse = |message: &str, hint: &str| {
        problems.add(Problem::new("", place, message).hint(hint));
        None
    };
    let Some(code) = tag.strip_prefix("<%=").and_then(|rest| rest.strip_suffix("%>")) else {
        return refuse(
            "Ruby code is not run here",
            "of embedded Ruby, a variable of the environment is read: <%= ENV[\"NAME\"] %>, <%= ENV.fetch(\"NAME\", \"default\") %>",
        );
    };
    let code = code.strip_suffix('-').unwrap_or(code).trim();
    let Some(variable) = variable(code) else {
        let hint = if code.contains('`') || code.contains("%x") {
            "what a command prints belongs into .kamal/secrets, as in NAME=$(command), and is named where it is needed"
        } else {
            "a variable of the environment is read: <%= ENV[\"NAME\"] %>, <%= ENV.fetch(\"NAME\", \"default\") %>"
        };
        return refuse("Ruby code is not run here", hint);
    };
    let index = variables.iter().position(|known| *known == variable).unwrap_or_else(|| {
        variables.push(variable);
        variables.len() - 1
    });
    let which = u32::try_from(index)
        .ok()
        .filter(|index| *index < MOST)
        .and_then(|index| char::from_u32(FIRST + index));
    which.or_else(|| refuse("the file has too many variables", "4096 are read"))
}

/// `ENV["X"]`, `ENV["X"] || "d"`, `ENV.fetch("X")`, `ENV.fetch("X", "d")` and `ENV.fetch("X") { "d" }`.
fn variable(code: &str) -> Option<Variable> {
    let rest = code.strip_prefix("ENV")?.trim_start();
    let (name, default) = if let Some(rest) = rest.strip_prefix('[') {
        let (name, rest) = rest.split_once(']')?;
        let rest = rest.trim();
        let default = if rest.is_empty() { None } else { Some(literal(rest.strip_prefix("||")?)?) };
        (quoted(name)?, default)
    } else {
        let (arguments, block) = rest.strip_prefix(".fetch(")?.rsplit_once(')')?;
        let block = block.trim();
        let (name, default) = match arguments.split_once(',') {
            Some((name, default)) => (name, Some(literal(default)?)),
            None => (arguments, None),
        };
        let default = match (default, block) {
            (default, "") => default,
            (None, block) => Some(literal(block.strip_prefix('{')?.strip_suffix('}')?)?),
            _ => return None,
        };
        (quoted(name)?, default)
    };
    let is_name = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| Variable { name: name.to_owned(), default })
}

/// A text in quotes in which nothing is expanded, a number, or a truth value.
fn literal(code: &str) -> Option<String> {
    let code = code.trim();
    let is_plain = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit() || b"._-".contains(&b));
    if is_plain || matches!(code, "true" | "false") {
        return Some(code.to_owned());
    }
    quoted(code).filter(|text| !text.contains("#{")).map(str::to_owned)
}

fn quoted(code: &str) -> Option<&str> {
    let code = code.trim();
    let inside = ['\'', '"'].into_iter().find_map(|quote| code.strip_prefix(quote)?.strip_suffix(quote))?;
    (!inside.contains(['\'', '"', '\\', '\n'])).then_some(inside)
}

/// The parts of a text in which tags were replaced.
pub(crate) fn pieces(text: &str, variables: &[Variable]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut parts = text.split(MARK);
    let first = parts.next().unwrap_or_default();
    if !first.is_empty() {
        pieces.push(Piece::Text(first.to_owned()));
    }
    for part in parts {
        let mut chars = part.chars();
        let index = chars.next().and_then(|which| u32::from(which).checked_sub(FIRST));
        let variable = index.and_then(|index| variables.get(usize::try_from(index).ok()?));
        pieces.extend(variable.cloned().map(Piece::Variable));
        let after = chars.as_str().trim_start_matches(FILL);
        if !after.is_empty() {
            pieces.push(Piece::Text(after.to_owned()));
        }
    }
    pieces
}

/// Whether a text has a tag in it.
pub(crate) fn is_masked(text: &str) -> bool {
    text.contains(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_tags_are_variables_and_all_else_is_told() {
        let read = |code: &str| variable(code).map(|variable| (variable.name, variable.default));
        let some = |name: &str, default: Option<&str>| Some((name.to_owned(), default.map(str::to_owned)));
        assert_eq!(read("ENV['X']"), some("X", None));
        assert_eq!(read("ENV[\"X\"] || \"a b\""), some("X", Some("a b")));
        assert_eq!(read("ENV.fetch('X')"), some("X", None));
        assert_eq!(read("ENV.fetch(\"X\", 22)"), some("X", Some("22")));
        assert_eq!(read("ENV.fetch('X') { 'd' }"), some("X", Some("d")));
        for code in
            ["`id`", "ENV['X'].upcase", "ENV[x]", "ENV.fetch('X', `id`)", "\"#{ENV['X']}\"", "ENV['a b']"]
        {
            assert_eq!(read(code), None, "{code}");
        }
    }

    #[test]
    fn what_stands_for_a_tag_is_as_wide() {
        let (mut variables, mut problems) = (Vec::new(), Problems::default());
        let text = "# <%= `id` %>\na: \"x<%= ENV[\"A\"] %>y\" # <%= ENV['B'] -%>\n<%# no %>\n<% if x %>";
        let masked = mask(text, &mut variables, &mut problems);
        assert_eq!(masked.chars().count(), text.chars().count());
        assert_eq!(masked.lines().next(), text.lines().next());
        assert_eq!(variables.len(), 2);
        assert_eq!(problems.into_list(text).len(), 1);
        let line = masked.lines().nth(1).unwrap_or_default();
        let a = Variable { name: "A".to_owned(), default: None };
        assert_eq!(pieces(line, &variables).get(1), Some(&Piece::Variable(a)));
    }
}
