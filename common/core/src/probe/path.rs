//! A path to one place in a JSON text: the part of JSONPath (RFC 9535) that names a single one.

// What an application answers has no type of ours.
#![allow(clippy::disallowed_types)]

use serde_json::Value;

/// A way from the root to one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The member of an object.
    Member(String),
    /// An element of an array: from the front, or with a negative number from the end.
    Element(i64),
}

impl Path {
    /// Reads a path off the front of a text; answers with what comes after it. None: there is none.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = Vec::new();
        loop {
            let (step, after) = if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                let (name, after) = after.split_at(end);
                let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
                is_name.then(|| (Step::Member(name.to_owned()), after))?
            } else if let Some(after) = rest.strip_prefix('[') {
                let (step, after) = match quoted(after) {
                    Some((name, after)) => (Step::Member(name), after),
                    None => {
                        let end = after.find(']')?;
                        (Step::Element(after.get(..end)?.parse().ok()?), after.get(end..)?)
                    }
                };
                (step, after.strip_prefix(']')?)
            } else {
                return Some((Self(steps), rest));
            };
            steps.push(step);
            rest = after;
        }
    }

    /// The value that it leads to.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Member(name) => value.as_object()?.get(name),
            Step::Element(index) => {
                let elements = value.as_array()?;
                let from_end = || elements.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
                elements.get(if *index < 0 { from_end()? } else { usize::try_from(*index).ok()? })
            }
        })
    }
}

/// A text in double quotes as JSON has it, or as it is in single ones, at the front of another; and what comes after it.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (inside, after) = rest.split_once('\'')?;
        return Some((inside.to_owned(), after));
    }
    text.strip_prefix('"')?;
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next()?.ok()?;
    let end = values.byte_offset();
    Some((value, text.get(end..)?))
}
