use serde::{Deserialize, Serialize};

/// What a metrics server answered to a query, as it wrote it: `NaN` and `+Inf` are not numbers in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One value for each series; a scalar is one. None is an empty answer.
    Values(Vec<String>),
    /// It didn't, or said that it couldn't; why.
    Down(String),
}

/// What there is to be judged in an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read<'a> {
    /// At least one finite number, and nothing else.
    Numbers(Vec<f64>),
    /// Something that is no finite number: mostly a division of nothing by nothing.
    NoNumber(&'a str),
    /// No series: nothing is measured, or the name of the metric is wrong.
    Empty,
    Down(&'a str),
}

impl Answer {
    pub(crate) fn read(&self) -> Read<'_> {
        let values = match self {
            Self::Down(why) => return Read::Down(why),
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
