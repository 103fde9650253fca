// What an application answers has no type of ours.
#![allow(clippy::disallowed_types)]

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::path::{Path, quoted};

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// What must be true of a JSON text: `$.model.loaded == true`, `length($.embedding) == 384`, `$.score > 0.7`, or a path alone,
/// which must lead to something that is neither `null` nor `false`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Predicate {
    /// As it was written.
    text: String,
    path: Path,
    /// Whether the length of what is there is meant: elements of an array, members of an object, characters of a text.
    of_length: bool,
    comparison: Option<(Operator, Literal)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Two characters before one: `<=` begins like `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Less),
    (">", Operator::More),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
}

/// A text that is no predicate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPredicate {
    /// There is no path at its beginning.
    #[error(
        "'{0}' is no predicate: it begins with a path, as in $.model.loaded == true or length($.embedding) == 384"
    )]
    Path(String),
    /// What comes after the path is no comparison.
    #[error(
        "'{0}' is no predicate: after the path comes one of ==, !=, <, <=, >, >= and a value, or nothing"
    )]
    Operator(String),
    /// What it is compared with is no value.
    #[error(
        "'{0}' is no predicate: what is compared with is a number, a text in quotes, true, false or null"
    )]
    Literal(String),
    /// More and less are of numbers.
    #[error("'{0}' is no predicate: only numbers are more or less than others")]
    Unordered(String),
}

impl Predicate {
    /// Whether it is true.
    ///
    /// # Errors
    /// It isn't: what is there instead, as the end of a sentence.
    pub fn check(&self, root: &Value) -> Result<(), String> {
        let Some(value) = self.path.find(root) else { return Err("there is nothing at its path".to_owned()) };
        let length;
        let value = if self.of_length {
            let count = match value {
                Value::Array(elements) => elements.len(),
                Value::Object(members) => members.len(),
                Value::String(text) => text.chars().count(),
                _ => return Err(format!("{} has no length", shown(value))),
            };
            length = Value::from(count);
            &length
        } else {
            value
        };
        let holds = match &self.comparison {
            None => !matches!(value, Value::Null | Value::Bool(false)),
            Some((operator, literal)) => operator.holds(value, literal),
        };
        if holds { Ok(()) } else { Err(format!("it is {}", shown(value))) }
    }
}

impl Operator {
    fn holds(self, value: &Value, literal: &Literal) -> bool {
        let order = match (value, literal) {
            (Value::Null, Literal::Null) => Some(Ordering::Equal),
            (Value::Bool(one), Literal::Flag(other)) => (one == other).then_some(Ordering::Equal),
            (Value::String(one), Literal::Text(other)) => (one == other).then_some(Ordering::Equal),
            (Value::Number(one), Literal::Number(other)) => compare(one, other),
            _ => None,
        };
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::More => order == Some(Ordering::Greater),
            Self::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// Whole numbers exactly, all others as the floating point numbers that JSON's readers make of them.
fn compare(one: &Number, other: &Number) -> Option<Ordering> {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

/// A value in one line, cut short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    format!("{}…", text.chars().take(SHOWN).collect::<String>())
}

impl FromStr for Predicate {
    type Err = InvalidPredicate;

    fn from_str(text: &str) -> Result<Self, InvalidPredicate> {
        let trimmed = text.trim();
        let of_length = trimmed.strip_prefix("length(");
        let read = Path::read(of_length.map_or(trimmed, str::trim_start));
        let closed = read.and_then(|(path, rest)| {
            let rest = if of_length.is_some() { rest.trim_start().strip_prefix(')')? } else { rest };
            Some((path, rest.trim_start()))
        });
        let (path, rest) = closed.ok_or_else(|| InvalidPredicate::Path(text.to_owned()))?;
        let comparison = if rest.is_empty() { None } else { Some(comparison(rest, text)?) };
        Ok(Self { text: trimmed.to_owned(), path, of_length: of_length.is_some(), comparison })
    }
}

/// What comes after the path in `whole`.
fn comparison(rest: &str, whole: &str) -> Result<(Operator, Literal), InvalidPredicate> {
    let read = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
    let (operator, literal) = read.ok_or_else(|| InvalidPredicate::Operator(whole.to_owned()))?;
    let literal = Literal::read(literal.trim()).ok_or_else(|| InvalidPredicate::Literal(whole.to_owned()))?;
    let is_ordered = matches!(literal, Literal::Number(_));
    if !is_ordered && !matches!(operator, Operator::Equal | Operator::Unequal) {
        return Err(InvalidPredicate::Unordered(whole.to_owned()));
    }
    Ok((operator, literal))
}

impl Literal {
    fn read(text: &str) -> Option<Self> {
        if let Some((inside, rest)) = quoted(text) {
            return rest.is_empty().then_some(Self::Text(inside));
        }
        match serde_json::from_str(text).ok()? {
            Value::Null => Some(Self::Null),
            Value::Bool(flag) => Some(Self::Flag(flag)),
            Value::Number(number) => Some(Self::Number(number)),
            Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl TryFrom<String> for Predicate {
    type Error = InvalidPredicate;

    fn try_from(text: String) -> Result<Self, InvalidPredicate> {
        text.parse()
    }
}

impl From<Predicate> for String {
    fn from(predicate: Predicate) -> String {
        predicate.text
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn found(predicate: &str) -> Result<(), String> {
        let answer = json!({
            "model": {"loaded": true, "name": "mini-lm", "since": null, "a b": 1},
            "embedding": [0.25, -1, 3],
            "score": 0.7,
            "big": 9_007_199_254_740_993_u64,
            "list": [{"x": "é"}, []],
        });
        predicate.parse::<Predicate>().unwrap().check(&answer)
    }

    #[test]
    fn what_is_true_of_an_answer_is_found_true() {
        for predicate in [
            "$.model.loaded",
            "$.model.loaded == true",
            "$.model.since == null",
            "$.model.since != 1",
            "$.model.name == 'mini-lm'",
            r#"$.model.name=="mini-lm""#,
            "$.model[\"a b\"] == 1",
            "$['model']['a b'] >= 1.0",
            "length($.embedding) == 3",
            "length( $.model.name ) <= 7",
            "length($.model) > 3",
            "length($.list[0].x) == 1",
            "length($.list[-1]) == 0",
            "$.embedding[-1] == 3",
            "$.embedding[1] < 0",
            "$.score >= 0.7",
            "$.score <= 7e-1",
            "$.big == 9007199254740993",
            "$.big != 9007199254740992",
        ] {
            assert_eq!(found(predicate), Ok(()), "{predicate}");
        }
    }

    #[test]
    fn what_is_not_true_is_told_with_what_is_there() {
        for (predicate, told) in [
            ("$.model.loaded == false", "it is true"),
            ("$.model.since", "it is null"),
            ("$.model.gone", "there is nothing at its path"),
            ("$.model.gone != 1", "there is nothing at its path"),
            ("$.embedding[3] == 1", "there is nothing at its path"),
            ("$.embedding[-4] == 1", "there is nothing at its path"),
            ("length($.embedding) == 384", "it is 3"),
            ("length($.score) == 1", "0.7 has no length"),
            ("$.score > 0.7", "it is 0.7"),
            ("$.model.name > 1", "it is \"mini-lm\""),
            ("$.score == '0.7'", "it is 0.7"),
        ] {
            assert_eq!(found(predicate), Err(told.to_owned()), "{predicate}");
        }
        let long = json!({"text": "x".repeat(1000)});
        let told = "$.text == 1".parse::<Predicate>().unwrap().check(&long).unwrap_err();
        assert!(told.ends_with('…') && told.chars().count() < 100, "{told}");
    }

    #[test]
    fn what_is_no_predicate_is_refused() {
        for text in [
            "",
            "model.loaded",
            "$.",
            "$..a",
            "$.a.1",
            "$[1",
            "$[x]",
            "$.a = 1",
            "$.a == ",
            "$.a == loaded",
            "$.a == [1]",
            "$.a == 'x",
            "$.a == 'x' y",
            "$.a < 'x'",
            "$.a >= true",
            "$.a == NaN",
            "length($.a",
            "length(a) == 1",
            "$.a && $.b",
            "$.a == 1 == 1",
        ] {
            assert!(text.parse::<Predicate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[$.\\[\\]a-z0-9 ='\"<>!()é-]{0,40}") {
            if let Ok(predicate) = text.parse::<Predicate>() {
                prop_assert_eq!(&predicate.to_string().parse::<Predicate>().unwrap(), &predicate);
                let _ = predicate.check(&json!({"a": [1, {"b": "c"}]}));
            }
        }

        #[test]
        fn numbers_are_compared_as_numbers(one in -1000_i64..1000, other in -1000_i64..1000) {
            let holds = |operator: &str| {
                let predicate: Predicate = format!("$ {operator} {other}").parse().unwrap();
                predicate.check(&json!(one)).is_ok()
            };
            let expected =
                [one == other, one != other, one < other, one <= other, one > other, one >= other];
            prop_assert_eq!(["==", "!=", "<", "<=", ">", ">="].map(holds), expected);
        }
    }
}
