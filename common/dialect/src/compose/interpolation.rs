//! Variables in the values of a Compose file: `$X`, `${X}`, `${X:-default}`, `${X:?message}`, and `$$` for the sign itself.

use cutover_core::tree::Value;

use crate::reading::{Item, Reading};
use crate::secrets::NoSecret;
use crate::shell::{self, Part};
use crate::variable::Variable;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable {
        name: String,
        default: Option<String>,
        /// An empty one counts as one that isn't set.
        fills_empty: bool,
    },
}

/// The pieces of a text; none where something in it is no variable.
fn pieces(text: &str) -> Option<Vec<Piece>> {
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let (inside, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => after.split_at(
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()),
            ),
        };
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
        let (name, behind) = inside.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (fills_empty, behind) = behind.strip_prefix(':').map_or((false, behind), |rest| (true, rest));
        let default = match (behind.chars().next(), behind.get(1..)) {
            (None, _) if !fills_empty => None,
            (Some('?'), _) => None,
            (Some('-'), Some(default)) if !default.contains('$') => Some(default.to_owned()),
            _ => return None,
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Variable { name: name.to_owned(), default, fills_empty });
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Some(pieces)
}

fn pieces_of(text: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Vec<Piece>> {
    let pieces = pieces(text);
    if pieces.is_none() {
        reading.wrong(
            item,
            "what stands behind $ is no variable that is read here",
            "write $NAME, ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for the sign itself",
        );
    }
    pieces
}

/// A value of the environment: where a variable stands in it, it is a reference.
pub(crate) fn variable(text: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Variable> {
    let pieces = pieces_of(text, item, reading)?;
    if let [Piece::Text(text)] = pieces.as_slice() {
        return Some(Variable::Clear(text.clone()));
    }
    let mut parts = Vec::new();
    for piece in pieces {
        parts.push(match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Variable { name, default, fills_empty } => {
                let in_file = match reading.secrets.reference(&name) {
                    Ok((reference, _)) => Some(reference),
                    Err(NoSecret::Unknown(_)) => None,
                    Err(NoSecret::Unread { file, line, why }) => {
                        reading.wrong(
                            item,
                            format!("{name} can't be referred to: {file}, line {line}: {why}"),
                            "let a variable or a command have the value",
                        );
                        return None;
                    }
                };
                part(name, default, fills_empty, in_file.as_deref())
            }
        });
    }
    let Some(reference) = shell::reference(&parts) else {
        reading.wrong(item, "a variable in a text on several lines", "take the whole text from one variable");
        return None;
    };
    reading.turned(item, "a reference, whose value whoever deploys has");
    Some(Variable::Secret(reference))
}

/// What a variable is: that of whoever deploys, and where that isn't set what `.env` says, which stays there.
fn part(name: String, default: Option<String>, fills_empty: bool, in_file: Option<&str>) -> Part {
    let otherwise = match &default {
        Some(default) => format!(":-{}", shell::in_braces(default)),
        None => ":?".to_owned(),
    };
    let script = match (in_file, fills_empty) {
        (None, false) => return Part::Variable { name, default },
        (None, true) => format!("printf %s \"${{{name}{otherwise}}}\""),
        (Some(reference), _) => {
            let there = match (reference.strip_prefix("env://"), reference.strip_prefix("cmd://")) {
                (Some(variable), _) => format!("${{{variable}?}}"),
                (None, command) => format!("$({})", command.unwrap_or_default()),
            };
            let whole = if fills_empty { format!("${{part{otherwise}}}") } else { "$part".to_owned() };
            format!("part=${{{name}-{there}}} && printf %s \"{whole}\"")
        }
    };
    Part::Command(vec![Part::Text(script)])
}

/// A value elsewhere, in which variables have what they have where this runs.
pub(crate) fn text(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text(item)?;
    let mut filled = String::new();
    for piece in pieces_of(&text, item, reading)? {
        match piece {
            Piece::Variable { name, default, fills_empty } => {
                let set = (reading.around.variable)(&name).filter(|value| !fills_empty || !value.is_empty());
                let Some(value) = set.or(default) else {
                    let unset = format!("{name} is not set where this runs");
                    reading.wrong(item, unset, format!("set it, or give a default: ${{{name}:-…}}"));
                    return None;
                };
                reading.turned(item, format!("with {name} as it is here"));
                filled.push_str(&value);
            }
            Piece::Text(text) => filled.push_str(&text),
        }
    }
    Some(filled)
}

/// Whether a value, or a part of it, is one that doesn't stand in the file.
pub(super) fn is_of_environment(item: &Item<'_>, reading: &Reading<'_>) -> bool {
    let Value::Text(text) = &item.node.value else { return false };
    pieces(text).into_iter().flatten().any(|piece| match piece {
        Piece::Text(_) => false,
        Piece::Variable { name, default, .. } => {
            default.is_none() || (reading.around.variable)(&name).is_some()
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn variables_are_told_from_texts() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let variable = |name: &str, default: Option<&str>, fills_empty| Piece::Variable {
            name: name.to_owned(),
            default: default.map(str::to_owned),
            fills_empty,
        };
        for (from, expected) in [
            ("plain", vec![text("plain")]),
            ("", vec![text("")]),
            ("a$$b", vec![text("a$b")]),
            ("$X/${Y}", vec![variable("X", None, false), text("/"), variable("Y", None, false)]),
            ("${X:-a b}c", vec![variable("X", Some("a b"), true), text("c")]),
            ("${X-}", vec![variable("X", Some(""), false)]),
            ("${X:?it must be}", vec![variable("X", None, true)]),
            ("${X?}", vec![variable("X", None, false)]),
        ] {
            assert_eq!(pieces(from), Some(expected), "{from}");
        }
        for from in ["$", "a $ b", "${X", "${1}", "${X:+a}", "${X:}", "${X:-$Y}"] {
            assert_eq!(pieces(from), None, "{from}");
        }
    }

    #[test]
    fn a_variable_is_that_of_the_environment_then_that_of_the_file_then_its_default() {
        let file = Some("cmd://printf '%s' 'of the }\" file'");
        let empty = Some("cmd://printf ''");
        for (value, default, fills_empty, in_file, expected) in [
            (None, None, false, None, None),
            (Some(""), None, false, None, Some("")),
            (Some(""), None, true, None, None),
            (Some(""), Some("d}\"$"), true, None, Some("d}\"$")),
            (Some(""), Some("d"), false, None, Some("")),
            (None, Some("d"), false, None, Some("d")),
            (None, None, false, file, Some("of the }\" file")),
            (Some("set"), None, false, file, Some("set")),
            (Some(""), Some("d"), false, file, Some("")),
            (Some(""), Some("d"), true, file, Some("d")),
            (None, Some("d"), false, empty, Some("")),
            (None, Some("d"), true, empty, Some("d")),
            (None, None, true, empty, None),
            (None, None, false, Some("cmd://false"), None),
            (None, None, false, Some("env://OTHER"), Some("other")),
        ] {
            let part = part("X".to_owned(), default.map(str::to_owned), fills_empty, in_file);
            for parts in [vec![part.clone()], vec![Part::Text("<".to_owned()), part]] {
                let reference = shell::reference(&parts).unwrap();
                if let Some(name) = reference.strip_prefix("env://") {
                    assert_eq!((name, default, fills_empty, in_file), ("X", None, false, None));
                    continue;
                }
                let words = shlex::split(reference.strip_prefix("cmd://").unwrap()).unwrap();
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).env("OTHER", "other").env_remove("X");
                let output = command.envs(value.map(|value| ("X", value))).output().unwrap();
                let printed = String::from_utf8(output.stdout).unwrap();
                let printed = output.status.success().then(|| printed.trim_start_matches('<'));
                assert_eq!(printed, expected, "{value:?}: {reference}");
            }
        }
    }
}
