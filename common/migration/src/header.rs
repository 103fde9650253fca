//! What a part of a migration says about itself: lines of the form `-- cutover: key=value` before its first statement.

use cutover_core::Phase;

use crate::directive::Directive;

/// The keys of a part that is run as it is.
const STATEMENTS: [&str; 1] = ["transaction"];

/// The keys of a backfill.
const BACKFILL: [&str; 5] = ["table", "key", "batch", "before", "verify"];

/// The headers of a part, each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headers<'a> {
    found: Vec<Header<'a>>,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header<'a> {
    key: &'a str,
    value: &'a str,
    line: usize,
}

/// A header that can't be used, and its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// It isn't known.
    #[error("line {line}: '{text}' is no header of this phase; known are {known}, each as key=value")]
    Unknown {
        /// Its line, from 1.
        line: usize,
        /// What stands after `cutover:`.
        text: String,
        /// The keys that are known.
        known: String,
    },
    /// It stands where it would be overlooked.
    #[error("line {line}: a header must stand before the first statement, in line {statement}")]
    Late {
        /// Its line, from 1.
        line: usize,
        /// The line of the first statement.
        statement: usize,
    },
    /// It was given before.
    #[error("line {line}: '{key}' was given in line {first} already")]
    Twice {
        /// Its line, from 1.
        line: usize,
        /// Its key.
        key: String,
        /// The line of the first one.
        first: usize,
    },
    /// Its value is wrong.
    #[error("line {line}: '{key}={value}': expected {expected}")]
    Value {
        /// Its line, from 1.
        line: usize,
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// One is missing.
    #[error("line {line}: this backfill doesn't say '-- cutover: {key}=…', {meaning}")]
    Missing {
        /// The line of the first statement, from 1.
        line: usize,
        /// Its key.
        key: &'static str,
        /// What it means.
        meaning: &'static str,
    },
}

impl<'a> Headers<'a> {
    /// The headers among `directives`, those of a part whose first statement starts in line `statement`.
    pub(crate) fn read(
        directives: &[Directive<'a>],
        phase: Phase,
        statement: usize,
    ) -> Result<Self, InvalidHeader> {
        let known: &[&str] = if phase == Phase::Backfill { &BACKFILL } else { &STATEMENTS };
        let mut found: Vec<Header<'a>> = Vec::new();
        for &Directive { text, line, .. } in directives {
            let header = text
                .split_once('=')
                .map(|(key, value)| Header { key: key.trim(), value: value.trim(), line })
                .filter(|header| known.contains(&header.key));
            let Some(header) = header else {
                return Err(InvalidHeader::Unknown { line, text: text.to_owned(), known: known.join(", ") });
            };
            if line >= statement {
                return Err(InvalidHeader::Late { line, statement });
            }
            if let Some(first) = found.iter().find(|first| first.key == header.key) {
                return Err(InvalidHeader::Twice { line, key: header.key.to_owned(), first: first.line });
            }
            found.push(header);
        }
        Ok(Self { found })
    }

    /// The value of `key`, as `parse` reads it.
    pub(crate) fn value<T>(
        &self,
        key: &str,
        expected: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, InvalidHeader> {
        let Some(header) = self.found.iter().find(|header| header.key == key) else { return Ok(None) };
        let wrong = || InvalidHeader::Value {
            line: header.line,
            key: key.to_owned(),
            value: header.value.to_owned(),
            expected,
        };
        parse(header.value).map(Some).ok_or_else(wrong)
    }

    /// Whether the part runs in a transaction (`transaction=on`, the default) or outside one (`transaction=off`).
    pub(crate) fn transaction(&self) -> Result<bool, InvalidHeader> {
        let on = self.value("transaction", "on or off", |value| match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        });
        on.map(|on| on.unwrap_or(true))
    }

    /// The line of `key`, or that of the statement below.
    pub(crate) fn line_of(&self, key: &str) -> Option<usize> {
        self.found.iter().find(|header| header.key == key).map(|header| header.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(texts: &[&'a str], phase: Phase) -> Result<Headers<'a>, InvalidHeader> {
        let directives: Vec<Directive<'_>> =
            (1..).zip(texts).map(|(line, text)| Directive { text, line, at: 0 }).collect();
        Headers::read(&directives, phase, 4)
    }

    #[test]
    fn a_part_runs_in_a_transaction_unless_it_says_otherwise() {
        let transaction =
            |texts: &[&str]| read(texts, Phase::Expand).and_then(|headers| headers.transaction());
        assert_eq!(transaction(&[]), Ok(true));
        assert_eq!(transaction(&["transaction = off"]), Ok(false));
        assert!(matches!(transaction(&["transaction=no"]), Err(InvalidHeader::Value { line: 1, .. })));
    }

    #[test]
    fn a_header_that_would_be_overlooked_is_refused() {
        let unknown =
            |texts: &[&str], phase| matches!(read(texts, phase), Err(InvalidHeader::Unknown { line: 1, .. }));
        assert!(unknown(&["transactions=off"], Phase::Expand));
        assert!(unknown(&["batch=10"], Phase::Contract));
        assert!(unknown(&["transaction=off"], Phase::Backfill));
        assert!(unknown(&["verify"], Phase::Backfill));
        let late = read(&["table=a", "key=b", "batch=1", "verify=c"], Phase::Backfill);
        assert_eq!(late, Err(InvalidHeader::Late { line: 4, statement: 4 }));
        let twice = read(&["table=a", "table=b"], Phase::Backfill);
        assert!(matches!(twice, Err(InvalidHeader::Twice { line: 2, first: 1, .. })));
    }
}
