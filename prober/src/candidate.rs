//! A replica that is not known to be ready yet.

use std::fmt;
use std::time::Duration;

use cutover_core::{Failure, InferenceSpec, ProbeSpec, Replica};
use cutover_fleet::{Checked, NoAnswer};

use crate::questions::{Asked, Questions};
use crate::round::Round;
use crate::schedule::Schedule;
use crate::streak::{Standing, Streak};

/// A replica, and what it has answered so far.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) replica: &'a Replica,
    /// Questions that were asked.
    pub(crate) asked: u32,
    questions: Questions<'a>,
    /// What it is asked now; none: it is ready.
    now: Option<Asked<'a>>,
    streak: Streak,
    waits: Schedule,
    last: Last,
}

/// The last answer, in words.
#[derive(Debug)]
enum Last {
    None,
    /// It was a good one, and more are needed.
    Good(String),
    Bad(String),
    /// The question did not come to the host.
    OutOfReach(String),
}

/// What was heard of a replica.
#[derive(Debug)]
pub(crate) enum Heard {
    Check(Result<Checked, NoAnswer>),
    Round(Round),
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// That is asked, after a wait.
    Ask(Asked<'a>, Duration),
    /// It is ready.
    Ready,
}

/// Why a replica is given up.
#[derive(Debug)]
pub(crate) enum GivenUp {
    /// It can't be asked.
    Unaskable(NoAnswer),
    /// So many bad answers in a row are enough.
    Failed { key: &'static str, times: u32, said: String },
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(replica: &'a Replica, questions: Questions<'a>) -> Self {
        let now = questions.first();
        let waits = Schedule::up_to(Duration::ZERO);
        Self {
            replica,
            asked: 0,
            questions,
            now: Some(now),
            streak: Streak::default(),
            waits,
            last: Last::None,
        }
    }

    /// What it is asked first. `since_start` is how long it has run.
    pub(crate) fn begin(&mut self, since_start: Duration) -> Next<'a> {
        self.turn_to(self.questions.first(), since_start)
    }

    /// Takes in what was heard.
    ///
    /// # Errors
    /// It is given up.
    pub(crate) fn hear(&mut self, heard: Heard, since_start: Duration) -> Result<Next<'a>, GivenUp> {
        self.asked += 1;
        let Some(now) = self.now else { return Ok(Next::Ready) };
        let standing = match (now, heard) {
            (Asked::Startup(spec) | Asked::Readiness(spec), Heard::Check(checked)) => {
                self.hear_check(checked, spec)?
            }
            (Asked::Inference(spec), Heard::Round(round)) => self.hear_round(round, spec)?,
            // What it was asked before it was asked this.
            _ => Standing::Undecided,
        };
        match standing {
            Standing::Passed => Ok(match self.questions.after(now) {
                Some(next) => self.turn_to(next, since_start),
                None => {
                    self.now = None;
                    Next::Ready
                }
            }),
            Standing::Undecided => Ok(Next::Ask(now, self.waits.next_wait())),
            Standing::Failed => Err(GivenUp::Failed {
                key: now.key(),
                times: self.streak.bad,
                said: self.last.words().to_owned(),
            }),
        }
    }

    /// Something else is asked from now on.
    fn turn_to(&mut self, asked: Asked<'a>, since_start: Duration) -> Next<'a> {
        (self.now, self.streak, self.last) = (Some(asked), Streak::default(), Last::None);
        let delay = match asked {
            Asked::Startup(ProbeSpec { initial_delay, period, failures, .. })
            | Asked::Readiness(ProbeSpec { initial_delay, period, failures, .. }) => {
                // Where failures count, they are to be as far from each other as was said.
                let every = period.0;
                self.waits = if failures.is_some() { Schedule::every(every) } else { Schedule::up_to(every) };
                initial_delay.0
            }
            Asked::Inference(InferenceSpec { period, .. }) => {
                self.waits = Schedule::every(period.0);
                Duration::ZERO
            }
        };
        Next::Ask(asked, delay.saturating_sub(since_start))
    }

    fn hear_check(
        &mut self,
        checked: Result<Checked, NoAnswer>,
        spec: &ProbeSpec,
    ) -> Result<Standing, GivenUp> {
        let (is_good, said) = match checked {
            Ok(Checked { passed, said, .. }) => (passed, said),
            Err(error) if error.is_out_of_reach() => {
                self.last = Last::OutOfReach(words(&error));
                self.streak.good = 0;
                return Ok(Standing::Undecided);
            }
            Err(error) if error.retryable() => (false, words(&error)),
            Err(error) => return Err(GivenUp::Unaskable(error)),
        };
        self.last = if is_good { Last::Good(said) } else { Last::Bad(said) };
        Ok(self.streak.hear(is_good, spec))
    }

    fn hear_round(&mut self, round: Round, spec: &InferenceSpec) -> Result<Standing, GivenUp> {
        let (last, standing) = match round {
            Round::Good(latencies) => (Last::Good(latencies.to_string()), Standing::Passed),
            Round::Wrong(said) => {
                self.streak.bad += 1;
                let is_enough = self.streak.bad >= spec.failures;
                (Last::Bad(said), if is_enough { Standing::Failed } else { Standing::Undecided })
            }
            Round::Unready(said) => {
                self.streak.bad = 0;
                (Last::Bad(said), Standing::Undecided)
            }
            Round::Lost(error) if error.is_out_of_reach() => {
                (Last::OutOfReach(words(&error)), Standing::Undecided)
            }
            Round::Lost(error) if error.retryable() => (Last::Bad(words(&error)), Standing::Undecided),
            Round::Lost(error) => return Err(GivenUp::Unaskable(error)),
        };
        self.last = last;
        Ok(standing)
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.now.is_none()
    }

    /// Whether it has answered that it has started, or isn't asked.
    pub(crate) const fn has_started(&self) -> bool {
        !matches!(self.now, Some(Asked::Startup(_)))
    }

    /// What it is asked now.
    pub(crate) fn asked_now(&self) -> Asked<'a> {
        self.now.unwrap_or_else(|| self.questions.first())
    }

    /// Whether the last question did not even come to the host: nothing is said of the application by that.
    pub(crate) const fn is_out_of_reach(&self) -> bool {
        matches!(self.last, Last::OutOfReach(_))
    }
}

impl Last {
    fn words(&self) -> &str {
        match self {
            Self::None => "no answer yet",
            Self::Good(said) | Self::Bad(said) | Self::OutOfReach(said) => said,
        }
    }
}

/// An error with its causes.
pub(crate) fn words(error: &NoAnswer) -> String {
    Failure::of(error, true).message
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.replica.name)?;
        match self.now {
            None | Some(Asked::Readiness(_)) => {}
            Some(other) => write!(f, "{}: ", other.key())?,
        }
        match (&self.last, self.now) {
            (Last::Good(said), Some(Asked::Startup(spec) | Asked::Readiness(spec))) => {
                write!(f, "{said}, {} of {} in a row", self.streak.good, spec.successes)
            }
            (last, _) => f.write_str(last.words()),
        }
    }
}
