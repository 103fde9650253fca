//! A replica that can't serve, and what it said last.

use std::net::IpAddr;

use cutover_core::{Failure, HostName, Replica};

use crate::{Condition, Error, Machine};

/// Lines of a container's output that explain why it failed.
pub const LAST_LINES: u32 = 20;

/// Docker's words for a host without a driver for its GPUs, or without any.
const NO_GPU: &str = "could not select device driver";

/// Why a replica can't serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{replica} on {host} {what}")]
pub struct Trouble {
    /// The container's name.
    pub replica: String,
    /// Its host.
    pub host: HostName,
    /// What became of it, as the end of a sentence that begins with its name.
    pub what: String,
    /// Whether it was killed for want of memory.
    pub out_of_memory: bool,
    /// The last lines that it wrote.
    pub last_lines: Vec<String>,
}

impl Machine {
    /// Why a replica can't serve; none while it runs as it was started, where it was started.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn trouble(&self, replica: &Replica) -> Result<Option<Trouble>, Error> {
        self.trouble_of(&replica.name, Some(replica.address.ip())).await
    }

    /// The same of a replica that is known by its name, and where it matters by the address at which it was started.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn trouble_of(&self, name: &str, started_at: Option<IpAddr>) -> Result<Option<Trouble>, Error> {
        let condition = self.condition(name).await?;
        let Some(what) = what_became(condition.as_ref(), started_at) else { return Ok(None) };
        Ok(Some(Trouble {
            replica: name.to_owned(),
            host: self.name().clone(),
            what,
            out_of_memory: condition.is_some_and(|condition| condition.out_of_memory),
            last_lines: self.last_lines(name, LAST_LINES).await,
        }))
    }
}

/// What became of a replica; none: it runs as it was started.
fn what_became(condition: Option<&Condition>, started_at: Option<IpAddr>) -> Option<String> {
    let Some(condition) = condition else { return Some("is gone: its container was removed".to_owned()) };
    condition.trouble().or_else(|| {
        // A container that was started by hand, or with its host, may be elsewhere, and another one in its place.
        let before = started_at?;
        let now = condition.address.filter(|address| *address != before)?;
        Some(format!("has moved from {before} to {now}: it was started anew"))
    })
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let failure = Self::lasting(trouble.to_string()).tail(trouble.last_lines);
        if trouble.what.contains(NO_GPU) {
            failure.hint("resources.gpus needs NVIDIA's container toolkit on the host: `docker run --gpus all` must work there")
        } else if trouble.out_of_memory {
            failure.hint("raise resources.memory in the deploy file, or make the application need less")
        } else {
            failure
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn running() -> Condition {
        Condition {
            id: "0123".into(),
            image: "sha256:4567".into(),
            labels: None,
            sidecar: None,
            networks: std::collections::BTreeMap::new(),
            running: true,
            restarts: 0,
            exit_code: None,
            out_of_memory: false,
            stop_timeout: None,
            started_at: None,
            error: None,
            address: Some([172, 17, 0, 2].into()),
            health: None,
        }
    }

    #[test]
    fn whatever_is_not_as_it_was_started_is_trouble() {
        let at = Some([172, 17, 0, 2].into());
        assert_eq!(what_became(Some(&running()), at), None);
        let stopped = Condition { running: false, exit_code: Some(3), address: None, ..running() };
        let table = [
            (None, "is gone: its container was removed"),
            (Some(stopped.clone()), "exited with code 3"),
            (Some(Condition { out_of_memory: true, ..stopped.clone() }), "was killed for want of memory"),
            (
                Some(Condition { error: Some("no such file: /app".into()), ..stopped }),
                "could not be started: no such file: /app",
            ),
            (Some(Condition { restarts: 1, ..running() }), "exited, and was started anew"),
            (Some(Condition { restarts: 7, ..running() }), "exited, and was started anew 7 times"),
            (
                Some(Condition { address: Some([172, 17, 0, 9].into()), ..running() }),
                "has moved from 172.17.0.2 to 172.17.0.9: it was started anew",
            ),
        ];
        for (condition, expected) in table {
            assert_eq!(what_became(condition.as_ref(), at).as_deref(), Some(expected));
        }
    }
}
