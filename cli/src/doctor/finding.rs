//! What was found, and what to do about it.

use std::fmt;

use cutover_core::Failure;
use serde::Serialize;

use crate::exit::Exit;

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What it is about.
    pub(crate) part: Part,
    /// Which one, where there are several: the host, the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<String>,
    /// How it is.
    pub(crate) grade: Grade,
    /// In words.
    pub(crate) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    DeployFile,
    Bus,
    Programs,
    Store,
    Secrets,
    Names,
    Host,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grade {
    /// As it should be.
    Good,
    /// It works, and had better be otherwise.
    Advice,
    /// A deployment would fail for it.
    Wrong,
}

impl Part {
    /// How a command ends that fails for it.
    pub(crate) const fn exit(self) -> Exit {
        match self {
            Self::Bus | Self::Programs | Self::Store => Exit::Unreachable,
            Self::Host => Exit::Host,
            Self::DeployFile | Self::Secrets | Self::Names => Exit::Usage,
        }
    }

    pub(crate) const fn good(self, text: String) -> Finding {
        Finding { part: self, of: None, grade: Grade::Good, text, fix: None }
    }

    pub(crate) fn advice(self, text: String, fix: &str) -> Finding {
        Finding { part: self, of: None, grade: Grade::Advice, text, fix: Some(fix.to_owned()) }
    }

    pub(crate) const fn wrong(self, text: String, fix: Option<String>) -> Finding {
        Finding { part: self, of: None, grade: Grade::Wrong, text, fix }
    }

    /// What went wrong, in the words that a deployment would be told.
    pub(crate) fn failed(self, failure: impl Into<Failure>) -> Finding {
        let Failure { message, hint, .. } = failure.into();
        self.wrong(message, hint)
    }
}

impl Finding {
    pub(crate) fn of(self, of: &str) -> Self {
        Self { of: Some(of.to_owned()), ..self }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeployFile => "deploy file",
            Self::Bus => "bus",
            Self::Programs => "programs",
            Self::Store => "store",
            Self::Secrets => "secrets",
            Self::Names => "names",
            Self::Host => "host",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.grade {
            Grade::Good => ' ',
            Grade::Advice => '!',
            Grade::Wrong => '✗',
        };
        match &self.of {
            Some(of) if self.part == Part::Host => write!(f, "{sign} {of}: {}", self.text)?,
            Some(of) => write!(f, "{sign} {} of {of}: {}", self.part, self.text)?,
            None => write!(f, "{sign} {}: {}", self.part, self.text)?,
        }
        match &self.fix {
            Some(fix) => write!(f, "\n    → {fix}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_a_line_and_what_to_do_another() {
        let wrong = Part::Host.wrong("no proxy answers".to_owned(), Some("cutover setup".to_owned()));
        assert_eq!(
            wrong.of("203.0.113.7").to_string(),
            "✗ 203.0.113.7: no proxy answers\n    → cutover setup"
        );
        assert_eq!(Part::Bus.good("NATS answers".to_owned()).to_string(), "  bus: NATS answers");
        let advice = Part::Secrets.advice("one is short".to_owned(), "make it longer").of("staging");
        assert_eq!(advice.to_string(), "! secrets of staging: one is short\n    → make it longer");
    }
}
