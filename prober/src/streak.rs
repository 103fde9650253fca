//! Answers in a row.

use cutover_core::ProbeSpec;

/// Good and bad answers of a replica to one probe. Earlier bad ones don't count any more once there were enough good ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    pub(crate) good: u32,
    pub(crate) bad: u32,
}

/// What the answers come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing yet.
    Undecided,
    /// Enough good ones in a row.
    Passed,
    /// As many bad ones as decide.
    Failed,
}

impl Streak {
    /// Takes an answer in.
    pub(crate) fn hear(&mut self, is_good: bool, spec: &ProbeSpec) -> Standing {
        if is_good {
            self.good += 1;
            if self.good >= spec.successes.max(1) {
                self.bad = 0;
                return Standing::Passed;
            }
        } else {
            self.good = 0;
            self.bad += 1;
            if spec.failures.is_some_and(|failures| self.bad >= failures) {
                return Standing::Failed;
            }
        }
        Standing::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a probe stands after each of some answers; `+` is a good one.
    fn standings(successes: u32, failures: Option<u32>, answers: &str) -> String {
        let spec = ProbeSpec { successes, failures, ..ProbeSpec::http("/up") };
        let mut streak = Streak::default();
        let letter = |answer| match streak.hear(answer == '+', &spec) {
            Standing::Undecided => '.',
            Standing::Passed => 'P',
            Standing::Failed => 'F',
        };
        answers.chars().map(letter).collect()
    }

    #[test]
    fn enough_answers_in_a_row_decide() {
        assert_eq!(standings(1, None, "---+"), "...P");
        assert_eq!(standings(3, None, "++-+++"), ".....P");
        assert_eq!(standings(1, Some(3), "--+--+---"), "..P..P..F");
        assert_eq!(standings(2, Some(3), "--+-"), "...F", "one good answer is not enough to forget");
        assert_eq!(standings(2, Some(3), "--++--"), "...P..");
    }
}
