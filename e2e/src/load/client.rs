//! One request of the load: its connection, its time limit, and the one retry that a user's browser would make, too.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::LoadPlan;
use super::connection::{Connection, Lost};
use super::report::{FailureKind, Outcome};

/// Keep-alive connections to one address, shared by all requests.
#[derive(Debug)]
pub(super) struct Client {
    plan: LoadPlan,
    keep_alive: Vec<u8>,
    close: Vec<u8>,
    slots: Semaphore,
    /// The last one used is the next one used, so that under little load the others grow idle and are closed.
    idle: Mutex<Vec<Connection>>,
}

impl Client {
    pub(super) fn new(plan: LoadPlan) -> Self {
        let head = |connection| {
            format!("GET {} HTTP/1.1\r\nhost: {}\r\nconnection: {connection}\r\n\r\n", plan.path, plan.host)
                .into_bytes()
        };
        Self {
            keep_alive: head("keep-alive"),
            close: head("close"),
            slots: Semaphore::new(plan.connections.max(1)),
            idle: Mutex::default(),
            plan,
        }
    }

    /// Makes request `number`, which was due at `scheduled`. Always resolves within the plan's timeout after that.
    pub(super) async fn get(&self, number: u64, scheduled: Instant) -> Outcome {
        let fresh = self.plan.fresh_every != 0 && number % self.plan.fresh_every == self.plan.fresh_every - 1;
        let mut retried_idle = 0;
        let attempt = async {
            let Ok(_slot) = self.slots.acquire().await else { return Err(FailureKind::Timeout) };
            if fresh {
                let mut connection = self.connect().await?;
                return Ok(connection.exchange(&self.close).await?);
            }
            // Each turn uses up one idle connection or ends, so there are no more turns than connections.
            loop {
                let kept = self.lock().pop();
                let reused = kept.is_some();
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => self.connect().await?,
                };
                match connection.exchange(&self.keep_alive).await {
                    Ok(answer) => {
                        if answer.keeps_alive {
                            self.lock().push(connection);
                        }
                        return Ok(answer);
                    }
                    Err(Lost::Unread) if reused => retried_idle += 1,
                    Err(lost) => return Err(lost.into()),
                }
            }
        };
        let answer = timeout_at(scheduled + self.plan.timeout, attempt).await;
        Outcome {
            latency: scheduled.elapsed(),
            retried_idle,
            answer: answer.unwrap_or(Err(FailureKind::Timeout)),
        }
    }

    async fn connect(&self) -> Result<Connection, FailureKind> {
        Connection::open(self.plan.address).await.map_err(|_| FailureKind::Refused)
    }

    /// A list of connections is whole after every push and pop, so a panic elsewhere does not spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Lost> for FailureKind {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Unread | Lost::Reset => Self::Reset,
            Lost::Malformed => Self::Malformed,
        }
    }
}
