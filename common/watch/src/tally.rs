//! What the counts of the proxies mean. Pure: counts in, verdict out.

use std::fmt;

use cutover_control::{CanaryStatus, MirrorStatus, SetStatus};
use cutover_core::{Evidence, HostName, Soak};

/// What one host's proxy has counted for a deployment since that has traffic, restarts of the proxy included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was counted before it began.
    start: Evidence,
    /// What proxies had counted before they were started anew.
    before: Evidence,
    /// What the one that runs says.
    last: Evidence,
}

impl Tally {
    /// One that begins now: what the proxy says at first was counted under other conditions, and would hide what comes.
    pub fn from_now_on(counted: Evidence) -> Self {
        Self { start: counted, last: counted, ..Self::default() }
    }

    /// Takes in what the proxy says now. A proxy that was started anew counts from nothing: lower numbers than the last
    /// ones are added to those.
    pub fn take(&mut self, counted: Evidence) {
        if counted.requests < self.last.requests || counted.errors < self.last.errors {
            self.before = sum([self.before, self.last]);
        }
        self.last = counted;
    }

    /// What was counted in all, since it began.
    pub fn all(&self) -> Evidence {
        let Evidence { requests, errors } = sum([self.before, self.last]);
        Evidence {
            requests: requests.saturating_sub(self.start.requests),
            errors: errors.saturating_sub(self.start.errors),
        }
    }
}

/// What a proxy has counted for one set of replicas.
pub fn counted(set: &SetStatus) -> Evidence {
    // An answer that the application began with a 5xx and then cut off was counted twice.
    let errors = set.server_errors.saturating_add(set.proxy_errors).min(set.requests);
    Evidence { requests: set.requests, errors }
}

/// What a proxy has counted of the requests that were only mirrored to a canary.
pub fn mirrored(canary: &CanaryStatus) -> Evidence {
    let MirrorStatus { requests, server_errors, failures, .. } = canary.mirrored;
    Evidence { requests, errors: server_errors.saturating_add(failures).min(requests) }
}

/// Judges what the hosts have counted together; answers with the sum.
///
/// # Errors
/// More errors than the guard allows, out of enough requests.
pub fn judge(guard: &Soak, hosts: &[(HostName, Tally)]) -> Result<Evidence, TooManyErrors> {
    let all = sum(hosts.iter().map(|(_, tally)| tally.all()));
    let share = u128::from(all.errors) * 1000;
    let allowed = u128::from(all.requests) * u128::from(guard.max_errors_per_mille);
    if all.requests < guard.min_requests || share <= allowed {
        return Ok(all);
    }
    Err(TooManyErrors {
        all,
        hosts: hosts.iter().map(|(host, tally)| (host.clone(), tally.all())).collect(),
        max_errors_per_mille: guard.max_errors_per_mille,
    })
}

/// The new version fails more often than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyErrors {
    /// What was counted in all.
    pub all: Evidence,
    /// What was counted on each host.
    pub hosts: Vec<(HostName, Evidence)>,
    /// The errors that were allowed, in thousandths of the requests.
    pub max_errors_per_mille: u32,
}

impl TooManyErrors {
    /// The host with the most errors.
    pub fn worst(&self) -> Option<&HostName> {
        self.hosts.iter().max_by_key(|(_, evidence)| evidence.errors).map(|(host, _)| host)
    }
}

impl fmt::Display for TooManyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { requests, errors } = self.all;
        let share = errors as f64 / requests.max(1) as f64 * 100.0;
        let allowed = f64::from(self.max_errors_per_mille) / 10.0;
        write!(
            f,
            "{errors} of {requests} requests failed, {share:.1} %, where at most {allowed:.1} % are allowed"
        )?;
        for (index, (host, evidence)) in self.hosts.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{host}: {} of {}", evidence.errors, evidence.requests)?;
        }
        if self.hosts.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

fn sum(parts: impl IntoIterator<Item = Evidence>) -> Evidence {
    parts.into_iter().fold(Evidence::default(), |sum, part| Evidence {
        requests: sum.requests.saturating_add(part.requests),
        errors: sum.errors.saturating_add(part.errors),
    })
}

#[cfg(test)]
mod tests;
