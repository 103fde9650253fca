use serde::{Deserialize, Serialize};

/// What was answered to a query: by a metrics server as it wrote it, as `NaN` and `+Inf` are not numbers in JSON, or by somebody
/// who judges himself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One value for each series; a scalar is one. None is an empty answer.
    Values(Vec<String>),
    /// A judgement.
    Said(Judgement),
    /// It didn't, or said that it couldn't; why.
    Down(String),
}

/// What somebody who judges himself says of the new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum Judgement {
    /// It is good.
    Pass(String),
    /// It is bad, and why.
    Fail(String),
    /// He doesn't know yet, and why.
    Inconclusive(String),
}

/// What there is to be judged in an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read<'a> {
    /// At least one finite number, and nothing else.
    Numbers(Vec<f64>),
    /// Something that is no finite number: mostly a division of nothing by nothing.
    NoNumber(&'a str),
    Said(&'a Judgement),
    /// No series: nothing is measured, or the name of the metric is wrong.
    Empty,
    Down(&'a str),
}

impl Answer {
    pub(crate) fn read(&self) -> Read<'_> {
        let values = match self {
            Self::Down(why) => return Read::Down(why),
            Self::Said(judgement) => return Read::Said(judgement),
            Self::Values(values) if values.is_empty() => return Read::Empty,
            Self::Values(values) => values,
        };
        let mut numbers = Vec::with_capacity(values.len());
        for value in values {
            match value.parse::<f64>() {
                Ok(number) if number.is_finite() => numbers.push(number),
                _ => return Read::NoNumber(value),
            }
        }
        Read::Numbers(numbers)
    }
}
