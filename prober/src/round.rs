//! A round of calls to the model of one replica.

use std::time::Duration;

use cutover_core::{ApplicationProtocol, InferenceSpec, Latencies, Replica, Unmet};
use cutover_fleet::{Machine, NoAnswer};

use crate::candidate::words;

/// How it ended.
#[derive(Debug)]
pub(crate) enum Round {
    /// Every answer was good, and they came in time.
    Good(Latencies),
    /// An answer was wrong, or they were too slow.
    Wrong(String),
    /// It doesn't answer yet, or with another status.
    Unready(String),
    /// It can't be asked, now or at all.
    Lost(NoAnswer),
}

/// Makes the calls one after the other, until one is not as it should be.
pub(crate) async fn round(
    machine: &Machine,
    replica: &Replica,
    protocol: ApplicationProtocol,
    spec: &InferenceSpec,
) -> Round {
    let mut took: Vec<Duration> = Vec::new();
    for call in 0..spec.warm_up.saturating_add(spec.calls) {
        let answer = match machine.ask(replica.address, protocol, &spec.request, spec.timeout.0).await {
            Ok(answer) => answer,
            Err(error @ NoAnswer::Late { .. }) => return Round::Unready(words(&error)),
            Err(error) => return Round::Lost(error),
        };
        match answer.judge(&spec.request) {
            Ok(()) if call < spec.warm_up => {}
            Ok(()) => took.push(answer.took),
            Err(unmet @ Unmet::Status(_)) => return Round::Unready(format!("{answer}: {unmet}")),
            Err(unmet) => return Round::Wrong(format!("{answer}: {unmet}")),
        }
    }
    match Latencies::of(took).judge(spec) {
        Ok(latencies) => Round::Good(latencies),
        Err(slow) => Round::Wrong(slow.to_string()),
    }
}
