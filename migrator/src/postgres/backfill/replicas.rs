//! Replicas, which have to follow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::Session;
use super::super::run::Run;
use crate::ledger::Pending;
use crate::{Error, Limits, Progress};

/// From one look to the next while they are behind.
const LOOKS: Duration = Duration::from_millis(500);

/// Where the server's log is, and where the last of those is that follow. One that is being made, or that catches up after
/// a day, is none of them. Without the right to see it (`pg_monitor`) there is none.
const PLACES: &str = "SELECT (pg_current_wal_lsn() - '0/0')::int8, \
    (SELECT (min(replay_lsn) - '0/0')::int8 FROM pg_stat_replication WHERE state = 'streaming')";

/// The replicas of a server.
pub(super) struct Replicas<'a> {
    session: &'a Session,
    limits: &'a Limits,
    trail: Trail,
}

impl<'a> Replicas<'a> {
    pub(super) fn new(session: &'a Session, limits: &'a Limits) -> Self {
        Self { session, limits, trail: Trail::default() }
    }

    /// Waits until none is further behind than it may be. Answers whether there was anything to wait for.
    pub(super) async fn wait(&mut self, run: &Run<'_>, pending: &Pending<'_>) -> Result<bool, Error> {
        let (begun, migration) = (Instant::now(), pending.migration);
        let mut told = false;
        loop {
            let lag = self.lag().await?;
            if lag <= self.limits.lag {
                return Ok(told);
            }
            if begun.elapsed() >= self.limits.lag_patience {
                let (limit, waited) = (self.limits.lag, begun.elapsed());
                return Err(Error::Lag { file: migration.file().to_owned(), limit, waited });
            }
            if !told {
                told = true;
                run.tell(Progress::Lagging { version: migration.version(), lag });
            }
            run.ledger.touch(pending).await?;
            tokio::time::sleep(LOOKS).await;
        }
    }

    async fn lag(&mut self) -> Result<Duration, Error> {
        let row = self.session.client().query_one(PLACES, &[]).await;
        let places = row.and_then(|row| Ok((row.try_get(0)?, row.try_get::<_, Option<i64>>(1)?)));
        let (here, last) = places.map_err(self.session.error("see how far replicas are behind"))?;
        let now = Instant::now();
        self.trail.was(here, now);
        Ok(last.map_or(Duration::ZERO, |last| self.trail.lag(last, now)))
    }
}

/// When the server's log was where. What the server says of the lag is only told by a replica that moves: of one that is
/// stuck it says nothing new.
#[derive(Debug, Default)]
struct Trail(VecDeque<(i64, Instant)>);

impl Trail {
    /// The log is at `place` now.
    fn was(&mut self, place: i64, now: Instant) {
        if self.0.back().is_none_or(|(last, _)| *last < place) {
            self.0.push_back((place, now));
        }
    }

    /// How long the log has been beyond `place`, as far as it was seen.
    fn lag(&mut self, place: i64, now: Instant) -> Duration {
        while self.0.front().is_some_and(|(first, _)| *first <= place) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_behind_for_as_long_as_it_lacks_what_was_there() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut trail = Trail::default();
        trail.was(10, after(0));
        assert_eq!(trail.lag(10, after(0)), Duration::ZERO);
        trail.was(20, after(1));
        trail.was(20, after(2));
        trail.was(30, after(3));
        assert_eq!(trail.lag(15, after(4)), Duration::from_secs(3), "it is stuck");
        assert_eq!(trail.lag(25, after(5)), Duration::from_secs(2), "it moves");
        assert_eq!(trail.lag(30, after(9)), Duration::ZERO, "it has caught up");
    }
}
