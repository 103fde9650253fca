//! Variables in the values of a Compose file: `$X`, `${X}`, `${X:-default}`, `${X:?message}`, and `$$` for the sign itself.

use crate::reading::{Item, Reading};
use crate::shell::{self, Part};
use crate::variable::Variable;

/// The parts of a text; none where something in it is no variable.
fn parts(text: &str) -> Option<Vec<Part>> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
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
        let default = match behind {
            "" => None,
            _ if behind.starts_with(":?") || behind.starts_with('?') => None,
            _ => Some(behind.strip_prefix(":-").or_else(|| behind.strip_prefix('-'))?.to_owned()),
        };
        if default.as_ref().is_some_and(|default| default.contains('$')) {
            return None;
        }
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Variable { name: name.to_owned(), default });
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    Some(parts)
}

fn parts_of(text: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Vec<Part>> {
    let parts = parts(text);
    if parts.is_none() {
        reading.wrong(
            item,
            "what stands behind $ is no variable that is read here",
            "write $NAME, ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for the sign itself",
        );
    }
    parts
}

/// A value of the environment: where a variable stands in it, it is a reference.
pub(crate) fn variable(text: &str, item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Variable> {
    let parts = parts_of(text, item, reading)?;
    let is_text = parts.iter().all(|part| matches!(part, Part::Text(_)));
    if is_text {
        let text =
            parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" }).collect();
        return Some(Variable::Clear(text));
    }
    let reference = match parts.as_slice() {
        // What `.env` says of it stays there.
        [Part::Variable { name, .. }] => reading.secrets.reference(name).ok().map(|(reference, _)| reference),
        _ => None,
    };
    let Some(reference) = reference.or_else(|| shell::reference(&parts)) else {
        reading.wrong(item, "a variable in a text on several lines", "take the whole text from one variable");
        return None;
    };
    reading.turned(item, "a reference, whose value whoever deploys has");
    Some(Variable::Secret(reference))
}

/// A value elsewhere, in which variables have what they have where this runs.
pub(crate) fn text(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text(item)?;
    let mut filled = String::new();
    for part in parts_of(&text, item, reading)? {
        match part {
            Part::Variable { name, default } => {
                let set = (reading.around.variable)(&name).filter(|value| !value.is_empty());
                let Some(value) = set.or(default) else {
                    let unset = format!("{name} is not set where this runs");
                    reading.wrong(item, unset, format!("set it, or give a default: ${{{name}:-…}}"));
                    return None;
                };
                reading.turned(item, format!("with {name} as it is here"));
                filled.push_str(&value);
            }
            Part::Text(text) => filled.push_str(&text),
            Part::Command(_) => {}
        }
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_from_texts() {
        let text = |text: &str| Part::Text(text.to_owned());
        let set = |name: &str| Part::Variable { name: name.to_owned(), default: None };
        let or = |name: &str, default: &str| Part::Variable {
            name: name.to_owned(),
            default: Some(default.to_owned()),
        };
        for (from, expected) in [
            ("plain", vec![text("plain")]),
            ("", vec![text("")]),
            ("a$$b", vec![text("a$b")]),
            ("$X/${Y}", vec![set("X"), text("/"), set("Y")]),
            ("${X:-a b}c", vec![or("X", "a b"), text("c")]),
            ("${X:?it must be}", vec![set("X")]),
        ] {
            assert_eq!(parts(from), Some(expected), "{from}");
        }
        for from in ["$", "a $ b", "${X", "${1}", "${X:+a}", "${X:-$Y}"] {
            assert_eq!(parts(from), None, "{from}");
        }
    }
}
