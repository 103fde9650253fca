//! How long a deployment and its stages took, by the journal.

use std::time::Duration;

use cutover_core::{Deployment, Stage, Status, Timestamp};

/// The seconds of one deployment.
#[derive(Clone, Debug)]
pub struct StageSeconds {
    /// From its acceptance, or that of its replay, to its last fact.
    pub total: Duration,
    /// Each stage that was claimed: from its first claim to its last end, over all hosts.
    pub stages: Vec<(Stage, Duration)>,
}

impl StageSeconds {
    /// Of a deployment that has ended.
    pub fn of(deployment: &Deployment) -> Self {
        let mut stages: Vec<(Stage, Timestamp, Timestamp)> = Vec::new();
        for (task, state) in deployment.tasks() {
            let (Some(began), Status::Finished { at, .. } | Status::Failed { at, .. }) =
                (state.began, &state.status)
            else {
                continue;
            };
            if began < deployment.round_at {
                continue;
            }
            match stages.iter_mut().find(|(stage, ..)| *stage == task.stage) {
                Some((_, first, last)) => (*first, *last) = ((*first).min(began), (*last).max(*at)),
                None => stages.push((task.stage, began, *at)),
            }
        }
        Self {
            total: deployment.last.since(deployment.round_at),
            stages: stages.into_iter().map(|(stage, first, last)| (stage, last.since(first))).collect(),
        }
    }

    /// The seconds of one stage.
    pub fn of_stage(&self, stage: Stage) -> Option<Duration> {
        self.stages.iter().find(|(other, _)| *other == stage).map(|(_, seconds)| *seconds)
    }
}
