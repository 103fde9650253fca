//! What the journal has of a canary: all that it was judged by, to be judged again.

use cutover_verdict::{Observed, Terms, Verdict, judge};

use crate::{Canary, Decision, DeploymentId, Entry, Event, Fact, Output, Progress, Stage, Timestamp};

/// The canary of a past deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryRecord {
    /// What it was to be.
    pub canary: Canary,
    /// By each worker that had it, in their order. Each has judged anew.
    pub attempts: Vec<Attempt>,
}

/// What one worker has seen of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its claim.
    pub claim: u64,
    /// Since when.
    pub at: Timestamp,
    /// What was observed, step by step.
    pub parts: Vec<Part>,
    /// What it said in the end, if it came to one.
    pub verdict: Option<Box<Verdict>>,
    /// Why it ended, where that was no success.
    pub failure: Option<String>,
}

/// What was observed in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0.
    pub step: u32,
    /// What was.
    pub observed: Observed,
}

impl CanaryRecord {
    /// What the decisions on its service, and the facts of its task, say of the canary of a deployment. None, where they don't say
    /// what it was to be: they are purged, or it had none.
    pub fn of(deployment: &DeploymentId, entries: &[Entry]) -> Option<Self> {
        let canary = entries.iter().find_map(|entry| match &entry.event {
            Event::Decision(Decision::Accepted(plan)) if plan.deployment == *deployment => {
                Some(plan.release.settings.canary.clone())
            }
            _ => None,
        })?;
        if canary.is_absent() {
            return None;
        }
        let mut record = Self { canary, attempts: Vec::new() };
        for entry in entries {
            match &entry.event {
                Event::Fact { deployment: of, task, fact }
                    if of == deployment && task.stage == Stage::Canary =>
                {
                    record.take(entry, fact);
                }
                _ => {}
            }
        }
        Some(record)
    }

    fn take(&mut self, entry: &Entry, fact: &Fact) {
        match fact {
            Fact::Claimed(_) => self.attempts.push(Attempt {
                claim: entry.sequence,
                at: entry.at,
                parts: Vec::new(),
                verdict: None,
                failure: None,
            }),
            Fact::Progressed { claim, progress: Progress::Canary { step, seen: Some(seen), .. } } => {
                if let Some(attempt) = self.attempt(*claim) {
                    attempt.observe(*step, seen);
                }
            }
            Fact::Progressed { .. } => {}
            Fact::Finished { claim, output } => {
                if let (Some(attempt), Output::Canaried { verdict, .. }) = (self.attempt(*claim), output) {
                    attempt.verdict.clone_from(verdict);
                }
            }
            Fact::Failed { claim, failure } => {
                if let Some(attempt) = self.attempt(*claim) {
                    attempt.failure = Some(failure.message.clone());
                }
            }
        }
    }

    fn attempt(&mut self, claim: u64) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.claim == claim)
    }
}

impl Attempt {
    fn observe(&mut self, step: u32, seen: &Observed) {
        if self.parts.last().is_none_or(|part| part.step != step) {
            self.parts.push(Part { step, observed: Observed::default() });
        }
        // A record whose answer was lost is written once more, with what has come since.
        let until = self.parts.iter().flat_map(|part| &part.observed.windows).map(|window| window.to).max();
        let mut seen = seen.clone();
        seen.windows.retain(|window| until.is_none_or(|until| window.from >= until));
        if let Some(part) = self.parts.last_mut() {
            part.observed.extend(seen);
        }
    }

    /// The verdict at the end of each step, by these terms. By those that it had, the last one is what was said then.
    pub fn judged<'a>(&'a self, terms: &'a Terms) -> impl Iterator<Item = (u32, Verdict)> + 'a {
        let mut all = Observed::default();
        self.parts.iter().map(move |part| {
            all.extend(part.observed.clone());
            (part.step, judge(terms, &all))
        })
    }
}
