//! Build and container output: beside the journal, in no one's way.

use std::collections::VecDeque;

use cutover_core::{DeploymentId, ServiceKey, Subject, Task, Timestamp};

use crate::bus::OUTPUT;
use crate::stored::Stored;
use crate::watch::{AGAIN, Looks};
use crate::{Bus, Error, Journal};

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The task that it belongs to.
    pub task: Task,
    /// When it was written.
    pub at: Timestamp,
    /// The line, without its end.
    pub line: String,
}

/// The output of a deployment, in the order that it came in.
pub struct OutputLines {
    bus: Bus,
    filter: String,
    /// The first sequence that was not read.
    from: u64,
    ahead: VecDeque<Stored>,
    follow: bool,
    looks: Looks,
}

impl Journal {
    /// The output of a deployment: what there is, and, if it is followed, what comes.
    pub fn output(&self, key: &ServiceKey, deployment: &DeploymentId, follow: bool) -> OutputLines {
        let (bus, filter) = (self.bus().clone(), Subject::outputs_of(key, deployment));
        OutputLines { bus, filter, from: 1, ahead: VecDeque::new(), follow, looks: Looks::default() }
    }
}

impl OutputLines {
    /// The next line; none once there are no more and they aren't followed. Where they are, a bus that can't be read is waited for.
    ///
    /// # Errors
    /// A bus that doesn't answer; a user who may not read output.
    pub async fn next(&mut self) -> Result<Option<OutputLine>, Error> {
        loop {
            if let Some(line) = self.ahead.pop_front() {
                let Some(task) = Subject::output_task(&line.subject) else { continue };
                let text = String::from_utf8_lossy(&line.content).into_owned();
                return Ok(Some(OutputLine { task, at: line.at, line: text }));
            }
            match Stored::part(&self.bus, OUTPUT, self.from, &self.filter).await {
                Ok(part) => match part.last() {
                    Some(last) => {
                        self.from = last.sequence + 1;
                        self.looks = Looks::default();
                        self.ahead = part.into();
                    }
                    None if !self.follow => return Ok(None),
                    None => self.looks.wait().await,
                },
                Err(error) if self.follow && error.retryable() => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error),
            }
        }
    }
}
