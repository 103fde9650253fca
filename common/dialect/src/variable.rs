//! A value of an environment: in the clear, or a reference where a variable stands in it.

use cutover_core::tree::Value;

use crate::erb::Piece;
use crate::reading::{Item, Reading};
use crate::ruby;
use crate::shell::{self, Part};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Clear(String),
    Secret(String),
}

impl Variable {
    /// The key of the section that it stands in.
    pub(crate) const fn section(&self) -> &'static str {
        match self {
            Self::Clear(_) => "clear",
            Self::Secret(_) => "secret",
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Clear(text) | Self::Secret(text) => text,
        }
    }
}

/// What a value in the clear is: `<%= ENV['X'] %>` and `${X}` in it are never values, but references.
pub(crate) fn clear(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Variable> {
    if matches!(item.node.value, Value::Null) {
        return Some(Variable::Clear(String::new()));
    }
    let parts: Vec<Part> = reading.pieces(item)?.into_iter().flat_map(parts).collect();
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        let text: String =
            parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" }).collect();
        if text.contains("${") {
            reading.wrong(item, "this is no variable", "write ${NAME}, with letters, digits and _ alone");
            return None;
        }
        let read = if reading.is_quoted(item.node) { text.clone() } else { ruby::as_text(&text) };
        if read != text {
            reading.turned(item, format!("YAML reads it as {read}; in quotes it would stay as it is"));
        }
        return Some(Variable::Clear(read));
    }
    let Some(reference) = shell::reference(&parts) else {
        reading.wrong(item, "a variable in a text on several lines", "take the whole text from one variable");
        return None;
    };
    reading.turned(item, "a reference, whose value whoever deploys has");
    Some(Variable::Secret(reference))
}

fn parts(piece: Piece) -> Vec<Part> {
    match piece {
        Piece::Variable(variable) => vec![Part::Variable { name: variable.name, default: variable.default }],
        Piece::Text(text) => {
            let mut parts = Vec::new();
            let mut rest = text.as_str();
            while let Some((before, name, after)) = braced(rest) {
                if !before.is_empty() {
                    parts.push(Part::Text(before.to_owned()));
                }
                parts.push(Part::Variable { name: name.to_owned(), default: None });
                rest = after;
            }
            if !rest.is_empty() || parts.is_empty() {
                parts.push(Part::Text(rest.to_owned()));
            }
            parts
        }
    }
}

/// The first `${NAME}` of a text, with what is before and behind it.
fn braced(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (name, after) = rest.split_once('}')?;
    let is_name = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some((before, name, after))
}
