//! A replica that is not known to be ready yet.

use std::fmt;
use std::time::Duration;

use cutover_core::{Failure, Readiness, Replica};
use cutover_fleet::{Answer, NoAnswer};

use crate::Schedule;

/// A replica, and what it has answered so far.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) replica: &'a Replica,
    /// Questions that were asked.
    pub(crate) asked: u32,
    /// Good answers in a row, up to now.
    in_row: u32,
    /// Good answers in a row that make it ready.
    needed: u32,
    last: Option<Result<Answer, NoAnswer>>,
    waits: Schedule,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(replica: &'a Replica, readiness: &Readiness) -> Self {
        Self {
            replica,
            asked: 0,
            in_row: 0,
            needed: readiness.successes.max(1),
            last: None,
            waits: Schedule::up_to(readiness.period.0),
        }
    }

    /// Takes an answer in. Gives how long to wait before it is asked again; nothing: it is ready.
    ///
    /// # Errors
    /// An answer after which asking again is of no use.
    pub(crate) fn hear(&mut self, answer: Result<Answer, NoAnswer>) -> Result<Option<Duration>, NoAnswer> {
        self.asked += 1;
        let good = match answer {
            Ok(answer) => {
                let good = answer.status.is_success();
                self.last = Some(Ok(answer));
                good
            }
            Err(error) if error.retryable() => {
                self.last = Some(Err(error));
                false
            }
            Err(error) => return Err(error),
        };
        self.in_row = if good { self.in_row + 1 } else { 0 };
        Ok((!self.is_ready()).then(|| self.waits.next_wait()))
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.in_row >= self.needed
    }

    /// Whether the last question did not even come to the host: nothing is said of the application by that.
    pub(crate) const fn is_out_of_reach(&self) -> bool {
        use cutover_host::Error::Disconnected;
        matches!(self.last, Some(Err(NoAnswer::OutOfReach(_) | NoAnswer::Host(Disconnected { .. }))))
    }
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.replica.name)?;
        match &self.last {
            None => write!(f, "no answer yet"),
            Some(Ok(answer)) if answer.status.is_success() => {
                write!(f, "{answer}, {} of {} in a row", self.in_row, self.needed)
            }
            Some(Ok(answer)) => write!(f, "{answer}"),
            Some(Err(error)) => f.write_str(&Failure::of(error, true).message),
        }
    }
}
