use std::fmt;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Judgement, Read};
use crate::{Limit, Ratio};

/// A question to a metrics server, in its own language, or to somebody who judges himself, and which answers are good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Its name.
    pub name: String,
    /// The expression; for a comparison, the same one is asked of both versions. For a judgement, who is asked.
    pub expression: String,
    /// Which answers are good.
    pub condition: Condition,
    /// How many bad answers in a row are enough to fail; 0 as 1.
    pub strikes: usize,
}

/// Which answers are good; where there are several series, each has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// At most this.
    AtMost(Limit),
    /// At least this.
    AtLeast(Limit),
    /// At most so many times the old version's answer, and so much more. Of several series the old version's least counts.
    Beside {
        /// So many times.
        ratio: Ratio,
        /// And so much more.
        difference: Limit,
    },
    /// What is answered is a judgement.
    Judged,
}

/// A query and what was answered, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The query's name.
    pub name: String,
    /// The answers.
    pub rounds: Vec<Round>,
}

/// What was answered at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Of the new version.
    pub new: Answer,
    /// Of the old version, for a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Answer>,
}

/// What the answers so far say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The last one is good.
    Good,
    /// So many in a row are bad, and that is enough.
    Failing(String),
    /// Bad, and not often enough.
    Bad(String),
    /// The last one is no number that could be judged.
    NoNumber(String),
    /// Whoever judges doesn't know yet.
    Undecided(String),
    /// Nothing is measured.
    Unmeasured,
    /// The server didn't answer.
    Down(String),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Failing(what) => write!(f, "failing: {what}"),
            Self::Bad(what) => write!(f, "bad: {what}"),
            Self::NoNumber(value) => write!(f, "'{value}' is no number that could be judged"),
            Self::Undecided(why) => write!(f, "undecided: {why}"),
            Self::Unmeasured => f.write_str("no series: nothing is measured under this name"),
            Self::Down(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl Query {
    /// What the answers say.
    pub fn standing(&self, rounds: &[Round]) -> Standing {
        let Some(last) = rounds.last() else { return Standing::Unmeasured };
        let last = self.of(last);
        let Standing::Bad(what) = last else { return last };
        let bad = |round: &&Round| matches!(self.of(round), Standing::Bad(_));
        let row = rounds.iter().rev().take_while(bad).count();
        if row >= self.strikes.max(1) { Standing::Failing(what) } else { Standing::Bad(what) }
    }

    fn of(&self, round: &Round) -> Standing {
        if self.condition == Condition::Judged {
            return match round.new.read() {
                Read::Said(Judgement::Pass(_)) => Standing::Good,
                Read::Said(Judgement::Fail(why)) => Standing::Bad(why.clone()),
                Read::Said(Judgement::Inconclusive(why)) => Standing::Undecided(why.clone()),
                Read::Down(why) => Standing::Down(why.to_owned()),
                Read::Numbers(_) | Read::NoNumber(_) | Read::Empty => Standing::Unmeasured,
            };
        }
        let new = match number(&round.new) {
            Ok(numbers) => numbers,
            Err(standing) => return standing,
        };
        let most = new.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = new.iter().copied().fold(f64::INFINITY, f64::min);
        let (good, what) = match self.condition {
            Condition::AtMost(limit) => (most <= limit.number(), format!("{most} > {}", limit.number())),
            Condition::AtLeast(limit) => (least >= limit.number(), format!("{least} < {}", limit.number())),
            Condition::Beside { ratio, difference } => {
                let old = match round.old.as_ref().map(number) {
                    Some(Ok(numbers)) => numbers.into_iter().fold(f64::INFINITY, f64::min),
                    Some(Err(standing)) => return standing,
                    None => return Standing::Unmeasured,
                };
                let tolerated = ratio.number() * old + difference.number();
                (most <= tolerated, format!("{most} > {tolerated}, beside {old}"))
            }
            Condition::Judged => return Standing::Unmeasured,
        };
        if good { Standing::Good } else { Standing::Bad(what) }
    }
}

fn number(answer: &Answer) -> Result<Vec<f64>, Standing> {
    match answer.read() {
        Read::Numbers(numbers) => Ok(numbers),
        Read::NoNumber(value) => Err(Standing::NoNumber(value.to_owned())),
        Read::Empty | Read::Said(_) => Err(Standing::Unmeasured),
        Read::Down(why) => Err(Standing::Down(why.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(number: f64) -> Limit {
        Limit::try_from(number).unwrap()
    }

    fn values(values: &[&str]) -> Answer {
        Answer::Values(values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn standing(condition: Condition, rounds: &[(Answer, Option<Answer>)]) -> Standing {
        let query = Query { name: "q".into(), expression: "up".into(), condition, strikes: 2 };
        let rounds: Vec<_> = rounds.iter().cloned().map(|(new, old)| Round { new, old }).collect();
        query.standing(&rounds)
    }

    #[test]
    fn what_is_no_number_is_never_good() {
        let conditions = [
            Condition::AtMost(limit(1e300)),
            Condition::AtLeast(limit(-1e300)),
            Condition::Beside { ratio: Ratio::thousandths(u32::MAX), difference: limit(1e300) },
        ];
        for condition in conditions {
            for value in ["NaN", "+Inf", "-Inf", "", "high"] {
                let one = standing(condition, &[(values(&["1", value]), Some(values(&["1"])))]);
                assert_eq!(one, Standing::NoNumber(value.into()));
            }
            let empty = standing(condition, &[(values(&[]), Some(values(&["1"])))]);
            assert_eq!(empty, Standing::Unmeasured);
            let down = standing(condition, &[(Answer::Down("refused".into()), Some(values(&["1"])))]);
            assert_eq!(down, Standing::Down("refused".into()));
            assert_eq!(standing(condition, &[]), Standing::Unmeasured);
        }
    }

    #[test]
    fn a_baseline_without_a_number_is_never_good() {
        let condition = Condition::Beside { ratio: Ratio::ONE, difference: limit(1.0) };
        for (old, expected) in [
            (Some(values(&["NaN"])), Standing::NoNumber("NaN".into())),
            (Some(values(&[])), Standing::Unmeasured),
            (None, Standing::Unmeasured),
        ] {
            assert_eq!(standing(condition, &[(values(&["0"]), old)]), expected);
        }
    }

    #[test]
    fn bad_answers_fail_in_a_row() {
        let condition = Condition::AtMost(limit(0.5));
        let (good, bad) = ((values(&["0.1", "0.5"]), None), (values(&["0.1", "0.7"]), None));
        assert_eq!(
            standing(condition, &[bad.clone(), good.clone(), bad.clone()]),
            Standing::Bad("0.7 > 0.5".into())
        );
        let row = [good.clone(), bad.clone(), bad.clone()];
        assert_eq!(standing(condition, &row), Standing::Failing("0.7 > 0.5".into()));
        assert_eq!(standing(condition, &[bad.clone(), bad, good]), Standing::Good);
        let at_least = Condition::AtLeast(limit(0.5));
        let one = [(values(&["0.9", "0.4"]), None)];
        assert_eq!(standing(at_least, &one), Standing::Bad("0.4 < 0.5".into()));
    }

    #[test]
    fn a_judgement_is_taken_as_it_is_and_a_number_is_none() {
        let said = |judgement| (Answer::Said(judgement), None);
        let (pass, fail) = (said(Judgement::Pass("fine".into())), said(Judgement::Fail("slow".into())));
        let unsure = said(Judgement::Inconclusive("too early".into()));
        assert_eq!(standing(Condition::Judged, &[fail.clone(), pass]), Standing::Good);
        assert_eq!(
            standing(Condition::Judged, std::slice::from_ref(&unsure)),
            Standing::Undecided("too early".into())
        );
        assert_eq!(standing(Condition::Judged, &[unsure, fail.clone()]), Standing::Bad("slow".into()));
        assert_eq!(
            standing(Condition::Judged, &[fail.clone(), fail.clone()]),
            Standing::Failing("slow".into())
        );
        assert_eq!(standing(Condition::Judged, &[(values(&["1"]), None)]), Standing::Unmeasured);
        assert_eq!(standing(Condition::AtMost(limit(1.0)), &[fail]), Standing::Unmeasured);
    }

    #[test]
    fn beside_the_old_version() {
        let condition = Condition::Beside { ratio: Ratio::thousandths(1_500), difference: limit(1.0) };
        let round = |new: &str| [(values(&[new]), Some(values(&["20", "10"])))];
        assert_eq!(standing(condition, &round("16")), Standing::Good);
        assert_eq!(standing(condition, &round("17")), Standing::Bad("17 > 16, beside 10".into()));
    }
}
