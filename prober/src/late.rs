//! Replicas that were not ready in time.

use cutover_core::{HostName, Span};

/// Replicas of a host that were not ready within the limit, and what is known about why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{unready} of {replicas} replicas on {host} not ready within {limit}: {said}")]
pub struct Late {
    /// The host.
    pub host: HostName,
    /// How many are not ready.
    pub unready: usize,
    /// Of how many.
    pub replicas: usize,
    /// The limit.
    pub limit: Span,
    /// What they were asked, and what must come of it.
    pub question: String,
    /// The key of that in the deploy file.
    pub probe: &'static str,
    /// What they said last.
    pub said: String,
    /// Whether it was the host that could not be reached in the end.
    pub out_of_reach: bool,
    /// The last lines that one of them wrote.
    pub last_lines: Vec<String>,
}

impl Late {
    /// What to do about it.
    pub fn hint(&self) -> String {
        if self.out_of_reach {
            return "the connection to the host was lost, which says nothing about the application: `cutover replay` \
                    once the host is back"
                .to_owned();
        }
        format!(
            "{}: check {} and port in the deploy file, or raise timeouts.ready if it only needs longer",
            self.question, self.probe
        )
    }
}
