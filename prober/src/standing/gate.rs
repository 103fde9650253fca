//! How many questions are asked at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cutover_core::HostSpec;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// At one host: each is a connection through that host's sshd.
const AT_A_HOST: usize = 32;
/// In all: each is memory.
const IN_ALL: usize = 1024;
/// How long a host that can't be reached is not asked anything: connecting to it is the same for all of its replicas.
const LOST_FOR: Duration = Duration::from_secs(5);

/// The way in for all questions of a program, whichever service they are about.
#[derive(Debug)]
pub(crate) struct Gate {
    all: Semaphore,
    hosts: Mutex<HashMap<HostSpec, Arc<HostGate>>>,
}

/// The way in for questions at a host.
#[derive(Debug)]
pub(crate) struct HostGate {
    slots: Semaphore,
    lost_until: Mutex<Option<Instant>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { all: Semaphore::new(IN_ALL), hosts: Mutex::default() }
    }
}

impl Gate {
    /// The part of it at a host.
    pub(crate) fn at(&self, host: &HostSpec) -> Arc<HostGate> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(host) {
            return Arc::clone(known);
        }
        let new = Arc::new(HostGate { slots: Semaphore::new(AT_A_HOST), lost_until: Mutex::default() });
        Arc::clone(hosts.entry(host.clone()).or_insert(new))
    }

    /// Waits for a place at a host; none: the host could not be reached a moment ago.
    pub(crate) async fn enter<'a>(
        &'a self,
        host: &'a HostGate,
    ) -> Option<(Option<SemaphorePermit<'a>>, Option<SemaphorePermit<'a>>)> {
        if host.is_lost() {
            return None;
        }
        // Neither is ever closed.
        let own = host.slots.acquire().await.ok();
        if host.is_lost() {
            return None;
        }
        Some((own, self.all.acquire().await.ok()))
    }
}

impl HostGate {
    /// It can't be reached.
    pub(crate) fn lose(&self) {
        *self.lost_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + LOST_FOR);
    }

    fn is_lost(&self) -> bool {
        let until = *self.lost_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_lost_is_left_alone_for_a_while_and_no_other_is() {
        let gate = Gate::default();
        let host = |name: &str| HostSpec {
            name: name.parse().unwrap(),
            port: 22,
            user: "root".into(),
            host_key: None,
        };
        let (lost, other) = (gate.at(&host("a")), gate.at(&host("b")));
        gate.at(&host("a")).lose();
        assert!(gate.enter(&lost).await.is_none());
        assert!(gate.enter(&other).await.is_some());
        tokio::time::advance(LOST_FOR).await;
        assert!(gate.enter(&lost).await.is_some());
    }
}
