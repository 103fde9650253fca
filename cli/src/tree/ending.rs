//! How a deployment ended, in words: what is live now, and what to do about the rest.

use cutover_core::{Deployment, Outcome, Service};

use super::facts::{count, printable};
use crate::clock;

/// The last lines about a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What is live now.
    pub(crate) text: String,
    /// What hosts owe, and what can be done.
    pub(crate) notes: Vec<String>,
}

/// What is to be said once `deployment` has ended so.
pub(crate) fn ended(service: &Service, deployment: &Deployment, outcome: Outcome) -> Ending {
    let plan = &deployment.plan;
    let (name, version) = (&plan.key.service, &plan.release.version);
    let hosts = count(plan.hosts.len() as u64, "host", "hosts");
    let took = clock::duration(deployment.last.since(deployment.round_at));
    let serves = service.live().map_or_else(
        || format!("no release of {name} is live, as before"),
        |live| format!("{name} {} still serves", live.release.version),
    );
    let text = match outcome {
        Outcome::Live => format!("live: {name} {version} on {hosts} in {took}"),
        Outcome::TakenBack => format!("taken back: {serves}; nothing of {version} is left"),
        Outcome::Failed => format!("failed: {serves}; it was never touched"),
        Outcome::Aborted => format!("aborted: {serves}"),
        Outcome::Degraded { live: true } => {
            format!("degraded: {name} {version} is live, but not all is done")
        }
        Outcome::Degraded { live: false } => {
            format!("degraded: {version} could not be taken back everywhere")
        }
    };
    let mut notes: Vec<String> = deployment
        .debts()
        .into_iter()
        .map(|(task, failure)| match task.host {
            Some(host) => format!("host {host} owes {}: {}", task.stage, printable(&failure.message)),
            None => format!("{} is owed: {}", task.stage, printable(&failure.message)),
        })
        .collect();
    if let Some((kept, until)) = service.kept.iter().find_map(|kept| Some((kept, service.warm_until(kept)?)))
    {
        let (version, until) = (&kept.release.version, clock::date_and_time(until));
        notes.push(format!("{version} stays warm until {until}: cutover rollback goes back to it at once"));
    }
    if matches!(outcome, Outcome::TakenBack | Outcome::Failed | Outcome::Degraded { live: false }) {
        notes.push("once mended: cutover replay; if code, file or secret changed: cutover deploy".to_owned());
    }
    if matches!(outcome, Outcome::Degraded { .. }) {
        notes.push(
            "it is tried again until it is done; if the host is gone: cutover hosts forget HOST".to_owned(),
        );
    }
    Ending { outcome, text, notes }
}
