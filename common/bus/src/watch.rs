//! Following a service as its log grows: by looking again and again, which any user may, and which leaves nothing behind on the
//! server.

use std::collections::VecDeque;
use std::time::Duration;

use cutover_core::{Service, ServiceKey, Subject};

use crate::bus::LOG;
use crate::stored::Stored;
use crate::{Error, Journal, ServiceLog};

/// How long a log that has nothing new is left alone, by how often that was so in a row: up to which time that is so long.
const LOOKS: [(u32, Duration); 2] = [(50, Duration::from_millis(100)), (150, Duration::from_millis(500))];
const RARELY: Duration = Duration::from_secs(1);
/// How long a bus that can't be read is left alone.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);

/// How often it is looked whether something has come: often as long as something does, then less and less.
#[derive(Default)]
pub(crate) struct Looks {
    in_vain: u32,
}

/// A service as its log grows.
pub struct Watch {
    journal: Journal,
    log: ServiceLog,
    looks: Looks,
    /// What was read and not taken in yet.
    ahead: VecDeque<Stored>,
}

impl Journal {
    /// Follows a service from what the journal says of it now.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn watch(&self, key: &ServiceKey) -> Result<Watch, Error> {
        Ok(self.follow(self.service(key).await?))
    }

    /// Follows a service from what has been read of it.
    pub fn follow(&self, log: ServiceLog) -> Watch {
        Watch { journal: self.clone(), log, looks: Looks::default(), ahead: VecDeque::new() }
    }
}

impl Looks {
    /// Waits after a look that was in vain.
    pub(crate) async fn wait(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
        tokio::time::sleep(pause(self.in_vain)).await;
    }
}

fn pause(in_vain: u32) -> Duration {
    LOOKS.iter().find(|(times, _)| in_vain <= *times).map_or(RARELY, |(_, pause)| *pause)
}

impl Watch {
    /// The service as it was when it was last read.
    pub const fn service(&self) -> &Service {
        self.log.service()
    }

    /// Waits until an entry has changed the service. Goes on by itself when the connection is lost and comes back.
    /// Cancel-safe: what was taken in stays so.
    ///
    /// # Errors
    /// A journal that is gone.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            match Box::pin(self.take_next()).await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => {}
                Ok(None) => self.looks.wait().await,
                Err(error) if error.retryable() => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next entry in, and says whether it has changed the service; none, where there is no entry yet.
    async fn take_next(&mut self) -> Result<Option<bool>, Error> {
        // Were this dropped on the way, all of it would be read again.
        let mut ahead = std::mem::take(&mut self.ahead);
        if ahead.is_empty() {
            let filter = Subject::log_of(self.log.key());
            ahead = Stored::part(self.journal.bus(), LOG, self.log.next(), &filter).await?.into();
        }
        let Some(stored) = ahead.pop_front() else { return Ok(None) };
        self.looks = Looks::default();
        let changed = match self.look_at(&stored).await? {
            Some(has_skipped) => {
                self.log.take_in(&stored).is_some_and(|taken| taken.has_changed()) || has_skipped
            }
            None => {
                self.log.leave_out(stored.sequence);
                false
            }
        };
        self.ahead = ahead;
        Ok(Some(changed))
    }

    /// Whether something was purged before an entry, which was gone over; none, where the entry doesn't count.
    async fn look_at(&mut self, stored: &Stored) -> Result<Option<bool>, Error> {
        if !self.journal.admits(stored).await? {
            return Ok(None);
        }
        self.journal.go_over_gap(&mut self.log, stored).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn what_has_nothing_new_for_a_while_is_looked_at_less_often() {
        let pauses = [1, 50, 51, 150, 151, u32::MAX].map(pause).map(|pause| pause.as_millis());
        assert_eq!(pauses, [100, 100, 500, 500, 1000, 1000]);
        // Five seconds of looking often, then fifty of looking twice a second.
        assert_eq!((1..=150).map(pause).sum::<Duration>(), Duration::from_secs(55));
    }
}
